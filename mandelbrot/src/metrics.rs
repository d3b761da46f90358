//! What Prometheus scrapes.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, prometheus_text},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// The format of [`Metrics::text`], which every Prometheus takes.
pub use prometheus_text::CONTENT_TYPE;

/// A stage of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The steps of each point.
    Iterate,
    /// The colour of each point.
    Colour,
    /// The file.
    Encode,
}

impl Stage {
    /// All, in their order.
    pub const ALL: [Self; 3] = [Self::Iterate, Self::Colour, Self::Encode];

    /// The value of the label `stage`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iterate => "iterate",
            Self::Colour => "colour",
            Self::Encode => "encode",
        }
    }
}

impl EncodeLabelValue for Stage {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelValueEncoder) -> fmt::Result {
        self.name().encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    stage: Stage,
}

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Counter,
    stages: Family<Labels, Counter>,
}

impl Default for Metrics {
    /// Every series exists from the start: what begins with its first increment has no rate until the second.
    fn default() -> Self {
        let (requests, stages) = (Counter::default(), Family::<Labels, Counter>::default());
        for stage in Stage::ALL {
            drop(stages.get_or_create(&Labels { stage }));
        }
        let mut registry = Registry::default();
        // The library appends `_total` to the names and a full stop to the texts.
        registry.register("mandelbrot_render_requests", "Requests answered with a picture", requests.clone());
        registry.register("mandelbrot_stage_renders", "Finished stages of pictures", stages.clone());
        Self { registry, requests, stages }
    }
}

impl Metrics {
    /// A request is answered with a picture.
    pub fn answered(&self) {
        self.requests.inc();
    }

    /// A stage is finished.
    pub fn finished(&self, stage: Stage) {
        self.stages.get_or_create(&Labels { stage }).inc();
    }

    /// All counters in Prometheus' text format.
    ///
    /// # Errors
    /// When the library cannot write one.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_exists_from_the_start_and_counts_by_itself() {
        let metrics = Metrics::default();
        let samples = |metrics: &Metrics| -> Vec<String> {
            let text = metrics.text().unwrap();
            let mut lines: Vec<_> = text.lines().filter(|l| !l.starts_with('#')).map(ToOwned::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(
            samples(&metrics),
            [
                "mandelbrot_render_requests_total 0",
                "mandelbrot_stage_renders_total{stage=\"colour\"} 0",
                "mandelbrot_stage_renders_total{stage=\"encode\"} 0",
                "mandelbrot_stage_renders_total{stage=\"iterate\"} 0",
            ]
        );
        metrics.answered();
        metrics.finished(Stage::Iterate);
        metrics.finished(Stage::Iterate);
        metrics.finished(Stage::Encode);
        assert_eq!(
            samples(&metrics),
            [
                "mandelbrot_render_requests_total 1",
                "mandelbrot_stage_renders_total{stage=\"colour\"} 0",
                "mandelbrot_stage_renders_total{stage=\"encode\"} 1",
                "mandelbrot_stage_renders_total{stage=\"iterate\"} 2",
            ]
        );
        let text = metrics.text().unwrap();
        assert!(text.contains("# TYPE mandelbrot_render_requests_total counter\n"), "{text}");
    }
}
