//! The settings of traces.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use crate::config::{Description, Settings};

/// Where traces are sent, and which ones.
#[derive(Debug, Clone, Default)]
pub struct TracesConfig {
    /// The URL of the collector; none if no traces are sent.
    pub(super) endpoint: Option<Url>,
    /// Headers of the requests, such as the key of a hosted collector.
    pub(super) headers: HeaderMap,
    /// The share of tasks that are traced, from 0 to 1.
    pub(super) sample_ratio: f64,
}

impl TracesConfig {
    /// The settings that [`from_settings`](Self::from_settings) reads.
    pub const DESCRIPTIONS: [Description; 3] = [
        Description::with_default(
            "otlp_endpoint",
            "none: no traces",
            "Where [traces](../operations.md#traces) are sent: a collector of OpenTelemetry, such as \
             `http://127.0.0.1:4318`, by OTLP over HTTP (protobuf).",
        ),
        Description::new(
            "otlp_headers",
            "Headers for the collector, such as `authorization=Bearer KEY`, separated by commas. \
             They are secret.",
        ),
        Description::new(
            "otlp_sample_ratio",
            "The share of tasks that are traced, from `0` to `1`. All programs should have the same.",
        ),
    ];

    /// Reads `otlp_endpoint`, `otlp_headers` and `otlp_sample_ratio`. Invalid values are recorded in
    /// `settings`.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let endpoint = settings.optional("otlp_endpoint");
        let endpoint = endpoint.and_then(|endpoint| match traces_url(&endpoint) {
            Ok(url) => Some(url),
            Err(problem) => {
                settings.problem(format!("`otlp_endpoint` {problem}"));
                None
            }
        });
        let given = settings.secret("otlp_headers");
        let given = given.as_ref().map_or("", ExposeSecret::expose_secret);
        let headers = headers(given).unwrap_or_else(|problem| {
            settings.problem(format!("`otlp_headers` {problem}"));
            HeaderMap::new()
        });
        let sample_ratio: f64 = settings.value("otlp_sample_ratio", 1.0);
        if !(0.0..=1.0).contains(&sample_ratio) {
            settings.problem("`otlp_sample_ratio` must be from 0 to 1");
        }
        Self { endpoint, headers, sample_ratio }
    }
}

/// The URL to which traces are posted.
fn traces_url(endpoint: &str) -> Result<Url, String> {
    const PATH: &str = "/v1/traces";
    let base = endpoint.trim_end_matches('/');
    let url = if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") };
    let url = Url::parse(&url).map_err(|error| format!("is not a URL: {error}"))?;
    match url.scheme() {
        "http" | "https" if url.username().is_empty() && url.password().is_none() => Ok(url),
        "http" | "https" => Err("must have no user or password; use `otlp_headers`".to_owned()),
        scheme => Err(format!("is a `{scheme}` URL; only http and https are supported")),
    }
}

/// The headers of `name=value` pairs. Errors name no value, which may be secret.
fn headers(given: &str) -> Result<HeaderMap, String> {
    let pairs = given.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let header = |(index, pair): (usize, &str)| {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            format!("needs `name=value`, separated by commas (number {})", index + 1)
        })?;
        let name: HeaderName = name.trim().parse().map_err(|_| {
            format!("has a name that is invalid for a header (number {})", index + 1)
        })?;
        let mut value = HeaderValue::from_str(value.trim())
            .map_err(|_| format!("has a value that is invalid for a header (`{name}`)"))?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    pairs.enumerate().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> (TracesConfig, Result<String, String>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, content).unwrap();
        let mut settings = Settings::load(Some(&file), "TRACES_CONFIG_TEST");
        let config = TracesConfig::from_settings(&mut settings);
        let finished = settings.finish();
        (config, finished.map(|it| it.to_string()).map_err(|error| error.to_string()))
    }

    #[test]
    fn the_path_of_traces_is_added_to_the_endpoint() {
        let url = |endpoint: &str| {
            read(&format!("otlp_endpoint = \"{endpoint}\"")).0.endpoint.unwrap().to_string()
        };
        assert_eq!(url("http://127.0.0.1:4318"), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(url("https://otlp.example/in/"), "https://otlp.example/in/v1/traces");
        assert_eq!(url("http://c:1/v1/traces"), "http://c:1/v1/traces");
        assert!(read("").0.endpoint.is_none());
    }

    #[test]
    fn headers_are_read_and_not_shown() {
        let (config, shown) = read("otlp_headers = \"api-key = s3cret, x-team=a=b\"");
        assert_eq!(config.headers["api-key"], "s3cret");
        assert_eq!(config.headers["x-team"], "a=b");
        assert!(!format!("{config:?}").contains("s3cret"));
        assert!(!shown.unwrap().contains("s3cret"));
    }

    #[test]
    fn invalid_settings_are_named_without_secrets() {
        for (content, expected) in [
            ("otlp_endpoint = \"grpc://c:4317\"", "`grpc`"),
            ("otlp_endpoint = \"127.0.0.1:4318\"", "`otlp_endpoint`"),
            ("otlp_endpoint = \"http://me:s3cret@c\"", "`otlp_headers`"),
            ("otlp_headers = \"s3cret\"", "`otlp_headers` needs"),
            ("otlp_headers = \"a b=s3cret\"", "`otlp_headers` has"),
            ("otlp_sample_ratio = 1.5", "`otlp_sample_ratio`"),
        ] {
            let message = read(content).1.unwrap_err();
            assert!(message.contains(expected), "{content}: {message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }
}
