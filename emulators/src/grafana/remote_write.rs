//! Prometheus remote write, versions 1.0 and 2.0: snappy-compressed protocol buffers.
//! Sources: <https://prometheus.io/docs/specs/remote_write_spec/> and
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>.

use axum::http::HeaderMap;
use prost::Message;

use super::refusal::Refusal;

/// Largest body after decompression (bytes), Mimir's `distributor.max-recv-msg-size`.
const LARGEST: usize = 100 << 20;

/// Which message a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// `prometheus.WriteRequest`.
    One,
    /// `io.prometheus.write.v2.Request`.
    Two,
}

/// What a sender writes, whichever version it speaks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Write {
    pub series: Vec<Series>,
    /// Name and help text of metric families.
    pub metadata: Vec<(String, String)>,
}

/// Samples of one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Series {
    /// Names and values as they came.
    pub labels: Vec<(String, String)>,
    /// Milliseconds since 1970, and value.
    pub samples: Vec<(i64, f64)>,
    /// Number of native histograms.
    pub histograms: usize,
    /// Number of exemplars.
    pub exemplars: usize,
}

impl Version {
    /// The version that the headers announce.
    ///
    /// # Errors
    /// When they announce something else.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let media = headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let proto = media.split(';').skip(1).find_map(|part| part.trim().strip_prefix("proto="));
        match proto {
            None | Some("prometheus.WriteRequest") => Ok(Self::One),
            Some("io.prometheus.write.v2.Request") => Ok(Self::Two),
            Some(_) => Err(Refusal::Rejected(
                "content-type",
                format!("got {media} content type; expected prometheus.WriteRequest or io.prometheus.write.v2.Request"),
            )),
        }
    }
}

/// Reads a body.
///
/// # Errors
/// When it is not what its headers say.
pub(super) fn decode(version: Version, body: &[u8]) -> Result<Write, Refusal> {
    let broken = |e: &dyn std::fmt::Display| Refusal::Rejected("body", format!("the body cannot be decoded: {e}"));
    let length = snap::raw::decompress_len(body).map_err(|e| broken(&e))?;
    if length > LARGEST {
        return Err(Refusal::Rejected(
            "err-mimir-distributor-max-write-message-size",
            format!(
                "the incoming push request has been rejected because its message size of {length} bytes is larger than \
                 the allowed limit of {LARGEST} bytes (err-mimir-distributor-max-write-message-size)"
            ),
        ));
    }
    let plain = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| broken(&e))?;
    match version {
        Version::One => one::WriteRequest::decode(plain.as_slice()).map(Into::into).map_err(|e| broken(&e)),
        Version::Two => two::Request::decode(plain.as_slice())
            .map_err(|e| broken(&e))
            .and_then(|request| request.resolve().ok_or_else(|| broken(&"a reference points past its symbols"))),
    }
}

/// A body of version 1.0, for those who send one.
pub fn encode(request: &one::WriteRequest) -> Vec<u8> {
    // Compression fails for more than four gigabytes only; nobody takes such a body.
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap_or_default()
}

/// Messages of version 1.0, as far as they are read here. `prompb/types.proto`
pub mod one {
    /// `prometheus.WriteRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct WriteRequest {
        /// Series.
        #[prost(message, repeated, tag = "1")]
        pub timeseries: Vec<TimeSeries>,
        /// Metadata.
        #[prost(message, repeated, tag = "3")]
        pub metadata: Vec<MetricMetadata>,
    }

    /// `prometheus.TimeSeries`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        /// Labels.
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        /// Samples.
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
        /// Exemplars, unread.
        #[prost(bytes = "bytes", repeated, tag = "3")]
        pub exemplars: Vec<prost::bytes::Bytes>,
        /// Native histograms, unread.
        #[prost(bytes = "bytes", repeated, tag = "4")]
        pub histograms: Vec<prost::bytes::Bytes>,
    }

    /// `prometheus.Label`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Label {
        /// Name.
        #[prost(string, tag = "1")]
        pub name: String,
        /// Value.
        #[prost(string, tag = "2")]
        pub value: String,
    }

    /// `prometheus.Sample`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Sample {
        /// Value.
        #[prost(double, tag = "1")]
        pub value: f64,
        /// Milliseconds since 1970.
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
    }

    /// `prometheus.MetricMetadata`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct MetricMetadata {
        /// Family.
        #[prost(string, tag = "2")]
        pub metric_family_name: String,
        /// Help text.
        #[prost(string, tag = "4")]
        pub help: String,
    }

    impl From<WriteRequest> for super::Write {
        fn from(request: WriteRequest) -> Self {
            let series = request.timeseries.into_iter().map(|series| super::Series {
                labels: series.labels.into_iter().map(|l| (l.name, l.value)).collect(),
                samples: series.samples.into_iter().map(|s| (s.timestamp, s.value)).collect(),
                histograms: series.histograms.len(),
                exemplars: series.exemplars.len(),
            });
            let metadata = request.metadata.into_iter().map(|m| (m.metric_family_name, m.help));
            Self { series: series.collect(), metadata: metadata.collect() }
        }
    }
}

/// Messages of version 2.0, as far as they are read here. `prompb/io/prometheus/write/v2/types.proto`
pub(super) mod two {
    use super::one::Sample;

    /// `io.prometheus.write.v2.Request`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        /// Texts that the rest refers to.
        #[prost(string, repeated, tag = "4")]
        pub symbols: Vec<String>,
        /// Series.
        #[prost(message, repeated, tag = "5")]
        pub timeseries: Vec<TimeSeries>,
    }

    /// `io.prometheus.write.v2.TimeSeries`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        /// Names and values in turn.
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        /// Samples.
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
        /// Native histograms, unread.
        #[prost(bytes = "bytes", repeated, tag = "3")]
        pub histograms: Vec<prost::bytes::Bytes>,
        /// Exemplars, unread.
        #[prost(bytes = "bytes", repeated, tag = "4")]
        pub exemplars: Vec<prost::bytes::Bytes>,
        /// Metadata.
        #[prost(message, optional, tag = "5")]
        pub metadata: Option<Metadata>,
    }

    /// `io.prometheus.write.v2.Metadata`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Metadata {
        /// Help text.
        #[prost(uint32, tag = "3")]
        pub help_ref: u32,
    }

    impl Request {
        /// Replaces references by what they refer to; nothing when one refers to nothing.
        pub(super) fn resolve(self) -> Option<super::Write> {
            let text = |reference: u32| self.symbols.get(usize::try_from(reference).ok()?).cloned();
            let mut write = super::Write::default();
            for series in &self.timeseries {
                let pairs = series.labels_refs.chunks(2);
                let labels: Vec<(String, String)> =
                    pairs.map(|pair| Some((text(*pair.first()?)?, text(*pair.get(1)?)?))).collect::<Option<_>>()?;
                if let Some(help) = series.metadata.as_ref().map(|m| text(m.help_ref)) {
                    let name = labels.iter().find(|(name, _)| name == "__name__").map(|(_, value)| value.clone());
                    write.metadata.push((name.unwrap_or_default(), help?));
                }
                write.series.push(super::Series {
                    labels,
                    samples: series.samples.iter().map(|s| (s.timestamp, s.value)).collect(),
                    histograms: series.histograms.len(),
                    exemplars: series.exemplars.len(),
                });
            }
            Some(write)
        }
    }
}
