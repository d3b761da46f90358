//! The main job: worlds of all clouds side by side, each judged by itself, and one report.

use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use futures::{FutureExt, future::join_all};

use crate::{
    cluster::embedded::preflight,
    components::Store,
    defects,
    engines::Engines,
    failure::{Attempt, Failure, Result},
    gitops::rendered::Rendered,
    interrupt::uninterrupted,
    judge::{
        central,
        leaks::{
            self,
            sources::{self, Values},
        },
        verdict::{Conclusion, Verdict},
    },
    report::{self, Phases, conclusion, gather::Whole, junit, phases::Phase, table, terminal, tree},
    rerun::Rerun,
    sbom,
    site::tidy,
    subject::{Job, Subject},
    suite::Suites,
    trial::{Halves, Record, Trial},
    world::{Description, Parts, Run, kept::Borrowed, ownership::Estate},
};

/// Runs the main job.
///
/// # Errors
/// When the run could not even begin, or something of it could not be removed.
pub async fn e2e(store: &Store, job: &Job) -> Result<Conclusion> {
    if job.json {
        terminal::keep_for_data();
    }
    tree::expect(&job.report, job.reuse);
    let mut phases = Phases::begin("run", "sweep");
    let mut subject = Subject::find(store, job).await?;
    let further = subject.further_nodes()?;
    let estate = Estate::open()?;
    let kept = if job.reuse { Some(subject.kept(store, job, &estate)?) } else { None };
    if kept.is_none() {
        preflight::check(estate.root(), &store.cache().blobs(), subject.clouds.len() as u64, further)?;
    }
    tidy(&estate, store)?;
    let concluded =
        Run::during(&estate, async |run| conduct(store, job, &subject, kept, &estate, run, &mut phases).await).await;
    // A world whose making was interrupted has no owner any more.
    tidy(&estate, store)?;
    concluded
}

async fn conduct(
    store: &Store,
    job: &Job,
    subject: &Subject,
    kept: Option<Vec<Borrowed>>,
    estate: &Estate,
    run: &Run,
    phases: &mut Phases,
) -> Result<Conclusion> {
    let (temporary, run, choice) = (run.folder().to_owned(), run.id(), &subject.choice);
    let report = report::folder(&job.report, run)?;
    phases.next("components");
    let kept: Option<Vec<&Description>> =
        kept.as_ref().map(|kept| kept.iter().map(|borrowed| &borrowed.description).collect());
    let (parts, rendered, nextest) = uninterrupted(async {
        let (parts, rendered) = made_from(store, job, subject, kept.as_deref()).await?;
        Ok((parts, rendered, store.obtain("cargo-nextest").await?.path.join("cargo-nextest")))
    })
    .await?;
    sbom::of_worlds(store, &parts)?.write(&report)?;
    let compiling = Suites::new(nextest.clone(), &report)?;
    if let Some(filter) = choice.by_name(&subject.clouds)
        && !uninterrupted(compiling.have(&filter, &temporary)).await?
    {
        let attempted = format!("choose tests by {}", job.choice.filters.join(", "));
        return Err(Failure::new(attempted, "none of the chosen suites has such a one")
            .next("`cargo nextest list --package suites` tells their names")
            .misused());
    }
    let rounds = job.rounds.max(1);
    let headline = subject.headline(job, &parts, kept.as_deref());
    terminal::print(&headline);

    phases.next("metrics");
    let engines = match kept.as_deref() {
        Some(worlds) => Engines::of_kept(estate, worlds)?,
        None => uninterrupted(Engines::start(estate, &parts.prometheus, run, &report)).await?,
    };

    phases.next("worlds");
    let needed = choice.has_suites();
    // Compiling the suites overlaps with the bring-up, which mostly waits for others.
    let compiled = tokio::spawn(async move { if needed { compiling.compile(&temporary).await } else { Ok(()) } });
    let compiled = async move { compiled.await.attempting(|| "compile the suites".into())? }.boxed().shared();
    let trials = subject.clouds.iter().enumerate().map(async |(place, cloud)| {
        let folder = report.join(cloud.name());
        fs::create_dir(&folder).attempting(|| format!("make {}", folder.display()))?;
        let halves = |round: usize| {
            let folder = if round == 1 { folder.clone() } else { folder.join(format!("round-{round}")) };
            Ok(Halves {
                rest: Suites::new(nextest.clone(), &folder.join("rest"))?,
                secrets: Suites::new(nextest.clone(), &folder.join("secrets"))?,
                metrics: Suites::new(nextest.clone(), &folder.join("metrics"))?,
            })
        };
        let fault = subject.fault(*cloud)?;
        let wish = subject.wish(*cloud, fault.as_ref(), &folder).await?;
        let rendered = match fault {
            Some(_) => Cow::Owned(wish.rendered(store, parts.operator.cell()).await?),
            None => Cow::Borrowed(&rendered),
        };
        let world = kept.iter().flatten().find(|world| world.cloud == *cloud);
        let trial = Trial {
            estate,
            parts: &parts,
            rendered,
            run,
            clock: phases.clock(),
            kept: match world {
                Some(world) => Some(Rerun::begin(world, &wish).await?),
                None => None,
            },
            wish,
            engine: engines.own(),
            broken: !subject.faults.is_empty(),
            rounds: (1..=rounds).map(halves).collect::<Result<_>>()?,
            choice,
            elsewhere: subject.left_out(place),
            compiled: compiled.clone(),
            keep: job.keep,
            report: folder,
        };
        trial.hold().await
    });
    // Each world is taken down before the first error of any is told.
    let records = tokio::select! {
        records = join_all(trials) => records.into_iter().collect::<Result<Vec<Record>>>()?,
        failure = engines.broken() => return Err(failure),
    };

    phases.next("report");
    let answers = match engines.of_these_alone() {
        Some(engine) => central::answers(engine, &records).await?,
        None => Vec::new(),
    };
    terminal::print(table::components(&parts.provenance));
    terminal::print(table::secret_rows(&records));
    terminal::print(table::worlds(&records));
    terminal::print(table::queries(&answers));
    let of_run = parts.not_run().chain(rendered.verdicts()).chain(central::verdicts(&answers, &records));
    let mut verdicts: Vec<_> = of_run.chain(choice.left_out()).collect();
    verdicts.extend(engines.strangers(&records));
    verdicts.extend(records.iter().flat_map(|r| r.verdicts.clone()));
    verdicts.extend(choice.in_vain(&verdicts));
    let known = defects::of_world(&store.lock, &parts.operator.version, &subject.clouds)?;
    defects::explain(&mut verdicts, &known);
    let suites: Vec<&Path> = records.iter().flat_map(|r| &r.junit).map(PathBuf::as_path).collect();
    let file = report.join("junit.xml");
    let clock = phases.clock();
    let whole =
        Whole { run, clock, headline: &headline, parts: &parts, records: &records, answers: &answers, defects: &known };
    let publish = |verdicts: &[Verdict], phases: &[Phase]| {
        junit::write(&file, &suites, verdicts, &parts.provenance)?;
        let data = whole.report(verdicts, phases)?;
        data.write(&report).map(|()| data)
    };
    if choice.has("leaks") {
        publish(&verdicts, &phases.until_now())?;
        phases.next("leaks");
        // What the conclusion will print is in the files: the verdicts.
        verdicts.extend(engines.folders().map(|folder| leaks(&records, &report, folder)));
    }
    phases.next("teardown");
    let ended = engines.end(&records).await;
    let times = phases.end();
    let data = publish(&verdicts, &times)?;
    ended?;
    if job.up {
        records.iter().filter_map(|record| record.reached.as_ref()).for_each(terminal::print);
    }
    terminal::print(format!("time: {}", data.time));
    let conclusion = conclusion::print(&headline, &report, &verdicts, &times);
    if job.json {
        terminal::data(&data.json()?).attempting(|| "print the report".into())?;
    }
    Ok(conclusion)
}

/// What worlds are made from, or what the kept ones were made from; and the platform as its files are now.
async fn made_from(
    store: &Store,
    job: &Job,
    subject: &Subject,
    kept: Option<&[&Description]>,
) -> Result<(Parts, Rendered)> {
    let parts = Parts::find(store, job.operator.as_deref(), &subject.pinned, None).await?;
    if let Some(worlds) = kept {
        let rendered = subject.rendered(store, parts.operator.cell()).await?;
        return Ok((parts.of_kept(worlds)?, rendered));
    }
    let backend = job.backend.choose(job.fix_docker).await?;
    let (parts, rendered) = subject.complete(parts, store).await?;
    Ok((parts.with(backend, store).await?, rendered))
}

/// Whether a secret value of any world is in what is published of the run, or in what its worlds share.
fn leaks(records: &[Record], report: &Path, engine: &Path) -> Verdict {
    let begun = Instant::now();
    let named = |record: &Record| {
        let cloud = record.cloud;
        record.values.clone().into_iter().map(move |(name, values)| (format!("{name} of {cloud}"), values))
    };
    let values: Values = records.iter().flat_map(named).collect();
    leaks::verdict(sources::run(&values, report, engine)).took(begun.elapsed())
}
