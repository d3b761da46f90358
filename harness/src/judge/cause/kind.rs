//! The kinds of causes: their names, whether waiting may cure them, and what to do about them.

/// What kind of thing keeps a platform from working. The second paragraph of each says what Argo CD's list of applications
/// shows of it: sync and health, and what is seen behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The cloud itself fails or throttles.
    ///
    /// `Synced`, `Degraded`: the store or the ExternalSecret has `Ready=False`, as for whatever else the operator
    /// cannot read; its event has the cloud's error.
    CloudUnavailable,
    /// A ConfigMap that a Pod needs is not there.
    ///
    /// `Synced`, `Progressing`: the Pod stays in `ContainerCreating` or `CreateContainerConfigError`. After the
    /// Deployment's progress deadline it is `Degraded`.
    ConfigAbsent,
    /// A custom resource comes before its definition.
    ///
    /// `OutOfSync`: the operation fails because the API server does not know the kind. An application of nothing but
    /// custom resources may be called `Healthy` all the same.
    CrdMissing,
    /// Git and the cluster differ for ever.
    ///
    /// `OutOfSync`, `Healthy`: the last sync succeeded, and the next comparison finds the same difference again. With
    /// self-healing one sync follows the other.
    Drift,
    /// The cloud does not let the operator in, or not to this secret.
    ///
    /// `Synced`, `Degraded`: the store or the ExternalSecret has `Ready=False`. Which link is broken, from service
    /// account to permission, only the cloud's answer tells.
    IdentityRefused,
    /// No registry has an image.
    ///
    /// `Synced`, `Progressing`: the Pod is in `ErrImagePull` or `ImagePullBackOff`. After the Deployment's progress
    /// deadline it is `Degraded`.
    ImageUnavailable,
    /// No node has enough CPU left.
    ///
    /// `Synced`, `Progressing`: the Pod stays `Pending`.
    InsufficientCpu,
    /// No node has enough memory left.
    ///
    /// `Synced`, `Progressing`: the Pod stays `Pending`.
    InsufficientMemory,
    /// There are too many series.
    ///
    /// `Synced`, `Healthy`: nothing is seen there. It shows in what arrives at Grafana Cloud.
    LabelCardinality,
    /// A label that must not be there.
    ///
    /// `Synced`, `Healthy`: nothing is seen there. It shows in what arrives at Grafana Cloud.
    LabelForbidden,
    /// A label has a value that is not this world's.
    ///
    /// `Synced`, `Healthy`: nothing is seen there. It shows in what arrives at Grafana Cloud, where these samples count
    /// as another cloud's.
    LabelForeign,
    /// A required label is not there.
    ///
    /// `Synced`, `Healthy`: nothing is seen there. It shows in what arrives at Grafana Cloud, where nobody can tell
    /// whose samples they are.
    LabelMissing,
    /// The API server or a webhook refuses a manifest.
    ///
    /// `OutOfSync`: the operation fails with the words of the API server or the webhook. Where the comparison itself is
    /// refused, sync is `Unknown`.
    ManifestRefused,
    /// Objects go into a namespace that is not there.
    ///
    /// `OutOfSync`: the operation fails, `namespaces "…" not found`.
    NamespaceMissing,
    /// No version of the secret can be read.
    ///
    /// `Synced`, `Degraded`: the ExternalSecret has `Ready=False`. A Secret that was made before may still be there, with its
    /// old value.
    NoEnabledVersion,
    /// No node is one that the Pod accepts.
    ///
    /// `Synced`, `Progressing`: the Pod stays `Pending`.
    NoSuitableNode,
    /// The Argo CD project does not allow it.
    ///
    /// `Unknown` or `OutOfSync`: a source, a destination or a project that is not allowed is an `InvalidSpecError`
    /// among the conditions; a kind that is not allowed fails the operation.
    NotPermitted,
    /// The External Secrets Operator does not run.
    ///
    /// `Synced`, `Progressing`: stores and ExternalSecrets never get a condition. Those that had one before stay
    /// `Healthy`, because nobody looks at them any more.
    OperatorAbsent,
    /// Waves do not order what they are meant to.
    ///
    /// any: an operation may fail and be retried until everything is there, and when all is well in the end nothing is
    /// seen of it.
    Ordering,
    /// The secret is deleted and can still be recovered.
    ///
    /// `Synced`, `Degraded`: the ExternalSecret has `Ready=False`. A Secret that was made before may still be there, with its
    /// old value.
    PendingDeletion,
    /// A quota of the namespace is used up.
    ///
    /// `Synced`, `Progressing`: there is no Pod; an event of the ReplicaSet says why.
    QuotaExceeded,
    /// Grafana Cloud does not take what Prometheus writes.
    ///
    /// `Synced`, `Healthy`: nothing is seen there. Prometheus' log and the sender's metrics have the answers.
    RemoteWriteRefused,
    /// Prometheus does not run with the configuration that was meant.
    ///
    /// `Synced`, `Healthy`: nothing is seen there when Prometheus starts with the wrong configuration. When the init
    /// container fails, the Pod does not start, the application is `Progressing`, and the cause comes with the verdict
    /// `platform`.
    RenderedConfigWrong,
    /// Prometheus does not reach what it shall scrape.
    ///
    /// `Synced`, `Healthy`: nothing is seen there. The series `up` of the target is 0.
    ScrapeTargetDown,
    /// A Pod waits for a Secret that nothing makes.
    ///
    /// `Synced`, `Progressing`: the Pod stays in `ContainerCreating` or `CreateContainerConfigError`, and every
    /// ExternalSecret may be well.
    SecretAbsent,
    /// Argo CD cannot get or render what an application names.
    ///
    /// `Unknown`: a `ComparisonError` among the conditions quotes Git, Helm or Kustomize.
    SourceUnavailable,
    /// No object is the store that is named.
    ///
    /// `Synced`, `Degraded`: the ExternalSecret has `Ready=False`.
    StoreMissing,
    /// The store forbids its use in this namespace.
    ///
    /// `Synced`, `Degraded`: the ExternalSecret has `Ready=False`.
    StoreNotPermitted,
    /// The store cannot be used, for a reason that has no kind of its own.
    ///
    /// `Synced`, `Degraded`: the store has `Ready=False`.
    StoreNotReady,
    /// Two ExternalSecrets want the same Secret.
    ///
    /// `Synced`, `Degraded`: one of the ExternalSecrets has `Ready=False`.
    TargetConflict,
    /// The ExternalSecret's own template fails.
    ///
    /// `Synced`, `Degraded`: the ExternalSecret has `Ready=False`.
    TemplateWrong,
    /// Nothing known explains it.
    ///
    /// any: the application list does not help; the bundle has all objects, events and logs.
    Unknown,
    /// The backend has no such secret, or no such property in it.
    ///
    /// `Synced`, `Degraded`: the ExternalSecret has `Ready=False`. A Secret that was made before may still be there, with its
    /// old value.
    ValueMissing,
    /// The operator's webhook does not answer.
    ///
    /// `OutOfSync`: the operation fails, `failed calling webhook`, and is retried. Where the comparison rehearses on
    /// the API server, sync is `Unknown`.
    WebhookNotReady,
    /// A container of the platform fails or is not ready.
    ///
    /// `Synced`, `Progressing`: a container restarts, or is never ready. After the Deployment's progress deadline it is
    /// `Degraded`.
    WorkloadFails,
}

/// All kinds.
pub const ALL: [Kind; 35] = [
    Kind::CloudUnavailable,
    Kind::ConfigAbsent,
    Kind::CrdMissing,
    Kind::Drift,
    Kind::IdentityRefused,
    Kind::ImageUnavailable,
    Kind::InsufficientCpu,
    Kind::InsufficientMemory,
    Kind::LabelCardinality,
    Kind::LabelForbidden,
    Kind::LabelForeign,
    Kind::LabelMissing,
    Kind::ManifestRefused,
    Kind::NamespaceMissing,
    Kind::NoEnabledVersion,
    Kind::NoSuitableNode,
    Kind::NotPermitted,
    Kind::OperatorAbsent,
    Kind::Ordering,
    Kind::PendingDeletion,
    Kind::QuotaExceeded,
    Kind::RemoteWriteRefused,
    Kind::RenderedConfigWrong,
    Kind::ScrapeTargetDown,
    Kind::SecretAbsent,
    Kind::SourceUnavailable,
    Kind::StoreMissing,
    Kind::StoreNotPermitted,
    Kind::StoreNotReady,
    Kind::TargetConflict,
    Kind::TemplateWrong,
    Kind::Unknown,
    Kind::ValueMissing,
    Kind::WebhookNotReady,
    Kind::WorkloadFails,
];

/// What is known of a kind.
struct Row {
    name: &'static str,
    /// Why waiting may cure it; nothing when it does not.
    heals: Option<&'static str>,
    next: &'static str,
}

impl Kind {
    /// One word for it, for machines.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Why waiting may cure it; nothing when it does not, and a wait may end at once.
    pub const fn heals(self) -> Option<&'static str> {
        self.row().heals
    }

    /// What to do about it, when nothing better is known.
    pub const fn next(self) -> &'static str {
        self.row().next
    }

    const fn row(self) -> Row {
        let (name, heals, next) = match self {
            Self::CloudUnavailable => (
                "cloud-unavailable",
                Some("clouds throttle and fail now and then, and callers come again"),
                "look at the cloud's status page and at the quota; the operator comes again by itself",
            ),
            Self::ConfigAbsent => (
                "config-absent",
                Some("the ConfigMap may come with the rest of the sync"),
                "compare the name in the Pod with the generated ConfigMap's, and its keys",
            ),
            Self::CrdMissing => (
                "crd-missing",
                Some("the application that brings the definition may still be at work"),
                "put the custom resources into a later wave than their definitions, or give their application SkipDryRunOnMissingResource=true and retries",
            ),
            Self::Drift => ("drift", None, "write these fields into Git with the values that the cluster has"),
            Self::IdentityRefused => {
                ("identity-refused", None, "compare the identity's set-up in the cloud with the service account")
            }
            Self::ImageUnavailable => (
                "image-unavailable",
                None,
                "correct the reference, put the image into a mirror folder, or run where its registry can be reached",
            ),
            Self::InsufficientCpu => ("insufficient-cpu", None, "give the cluster more or larger nodes"),
            Self::InsufficientMemory => ("insufficient-memory", None, "give the cluster more or larger nodes"),
            Self::LabelCardinality => ("label-cardinality", None, LABELS),
            Self::LabelForbidden => ("label-forbidden", None, LABELS),
            Self::LabelForeign => ("label-foreign", None, LABELS),
            Self::LabelMissing => ("label-missing", None, LABELS),
            Self::ManifestRefused => ("manifest-refused", None, "correct the manifest in Git"),
            Self::NamespaceMissing => (
                "namespace-missing",
                Some("another application may make it"),
                "give the application CreateNamespace=true, or put the Namespace into an earlier wave",
            ),
            Self::NoEnabledVersion => ("no-enabled-version", None, "enable the version, or add a new one"),
            Self::NoSuitableNode => (
                "no-suitable-node",
                None,
                "compare the Pod's node selector, affinity and tolerations with the nodes' labels and taints",
            ),
            Self::NotPermitted => (
                "chart-or-repo-not-permitted",
                None,
                "allow it in the AppProject (sourceRepos, destinations, clusterResourceWhitelist), or correct the application",
            ),
            Self::OperatorAbsent => (
                "operator-absent",
                None,
                "look at the operator's application, its values (replicaCount, serviceAccount) and its Deployment",
            ),
            Self::Ordering => ("ordering", None, "correct the sync waves"),
            Self::PendingDeletion => (
                "pending-deletion",
                None,
                "restore the secret in the backend, or wait until it is gone and create it anew; a deploy must not purge it",
            ),
            Self::QuotaExceeded => ("quota-exceeded", None, "raise the ResourceQuota, or lower the requests"),
            Self::RemoteWriteRefused => {
                ("remote-write-refused", None, "the message names the limit that the samples break")
            }
            Self::RenderedConfigWrong => (
                "rendered-config-wrong",
                None,
                "compare the template's placeholder with the init container's command, which has to quote what sed interprets (&, \\ and its delimiter)",
            ),
            Self::ScrapeTargetDown => (
                "scrape-target-down",
                None,
                "compare the target with the Service's name and port, and look at the Pods behind it",
            ),
            Self::SecretAbsent => (
                "secret-absent",
                None,
                "compare the name of the Secret in the Pod with spec.target.name of the ExternalSecret",
            ),
            Self::SourceUnavailable => (
                "source-unavailable",
                None,
                "correct repoURL, targetRevision, path or chart of the application, or what they lead to",
            ),
            Self::StoreMissing => (
                "store-missing",
                Some("the store may come in a later wave"),
                "compare secretStoreRef with the stores in Git, and put the store into an earlier wave than its consumers",
            ),
            Self::StoreNotPermitted => {
                ("store-not-permitted", None, "add the namespace to spec.conditions of the store, or use another store")
            }
            Self::StoreNotReady => {
                ("store-not-ready", Some("the operator validates a store again and again"), "read the store's events")
            }
            Self::TargetConflict => (
                "target-conflict",
                None,
                "give one of the ExternalSecrets another spec.target.name, or creationPolicy Merge",
            ),
            Self::TemplateWrong => ("template-wrong", None, "correct spec.target.template of the ExternalSecret"),
            Self::Unknown => {
                ("unknown", Some("it is not understood"), "look into the bundle: events, applications, logs")
            }
            Self::ValueMissing => ("value-missing", None, "create it in the backend, or correct remoteRef"),
            Self::WebhookNotReady => (
                "webhook-not-ready",
                Some("its certificate and its endpoints come some seconds after its Deployment"),
                "look at Deployment, Service and certificate of the operator's webhook; give applications with stores and ExternalSecrets retries",
            ),
            Self::WorkloadFails => {
                ("workload-fails", Some("it may be waiting for something else"), "read the container's log")
            }
        };
        Row { name, heals, next }
    }
}

const LABELS: &str = "correct global.external_labels in this cloud's Prometheus configuration, or what adds the label";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names_of_their_own() {
        let mut names: Vec<&str> = ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
