//! What a run on a platform would be, told without running anything: the applications, what is played for them, and what
//! cannot be run or judged here, with the reason.

mod shape;

use std::{collections::BTreeSet, path::PathBuf};

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use self::shape::Shape;
use crate::{
    backend::Backend,
    components::Store,
    defects,
    failure::{Attempt, Result},
    gitops::roots,
    subject::{Job, Subject},
    world::Cloud,
};

/// What to plan.
#[derive(Clone, Debug)]
pub struct Question {
    /// The clouds; when none is named, all that the platform has.
    pub clouds: Vec<Cloud>,
    /// Working tree of the platform.
    pub platform: PathBuf,
}

/// Prints the plan; true when everything of the platform can be run and judged here.
///
/// # Errors
/// When the platform has no root application, or what is declared beside it cannot be read.
pub async fn answer(store: &Store, question: &Question) -> Result<bool> {
    let Question { clouds, platform } = question.clone();
    let subject = Subject::find(store, &Job { clouds, platform, ..Job::default() }).await?;
    let rendered = subject.rendered(store, None).await?;
    let mut whole = true;
    for cloud in &subject.clouds {
        let root = subject.root(*cloud, None)?;
        let shape = Shape::of(*cloud, rendered.of(*cloud));
        println!("{cloud}: {}, in the repository {}\n", root.display(), roots::repository(&root)?);
        println!("{}\n", table(["application", "wave", "source", "objects"], &shape.applications));
        println!("{}\n", table(["store", "provider", "identity"], &shape.stores));
        println!("{}\n", table(["external secret", "store", "keys in the backend"], &shape.secrets));
        let file = subject.declared(*cloud);
        let mut missing = shape.missing.clone();
        missing.extend(undeclared(*cloud, &file, &shape.keys)?);
        for image in &shape.images {
            let from = match store.lock.image(image) {
                Ok(known) if known.on_demand => {
                    ", got for this platform; where nobody has it, what needs it is not run"
                }
                Ok(known) if known.optional => ", from its registry; without it, what needs it is not run",
                Ok(_) => "",
                Err(_) => ", from its registry",
            };
            println!("image       {image}{from}");
        }
        println!("played      {} and Grafana Cloud, as {} declares them", cloud.name(), file.display());
        for what in &missing {
            println!("not covered {what}");
        }
        for what in &shape.broken {
            println!("FAILED      {what}");
        }
        println!();
        whole &= missing.is_empty() && shape.broken.is_empty();
    }
    let operator = &subject.pinned;
    println!("known upstream, with external-secrets {operator} and what else worlds are made of:");
    for defect in defects::of_world(&store.lock, operator, &subject.clouds)? {
        println!("- {defect}");
    }
    Ok(whole)
}

/// Keys that the platform reads and nobody declares: they would not be there.
fn undeclared(cloud: Cloud, file: &std::path::Path, keys: &BTreeSet<String>) -> Result<Vec<String>> {
    let attempted = || format!("read what stands in {cloud}");
    let text = std::fs::read_to_string(file).attempting(attempted)?;
    let config = trinity_emulators::config::Cloud::read(cloud.name(), file).attempting(attempted)?;
    let declared: BTreeSet<String> = Backend::wanted(&config, &text)?.into_iter().map(|wanted| wanted.name).collect();
    let missing = keys.difference(&declared);
    Ok(missing
        .map(|key| format!("secret {key}: {} does not declare it, so it would not be there", file.display()))
        .collect())
}

fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header).add_rows(rows);
    table.to_string()
}
