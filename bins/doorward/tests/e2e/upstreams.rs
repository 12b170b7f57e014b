//! The fakes as upstreams: a provider's type, what stands for it in the configuration, and what it
//! cannot do. All words of the configuration that are a provider's own are here.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::process::{clients, node, python};

/// A provider over a fake.
pub(crate) struct Upstream {
    /// Its name in the configuration, and in the table.
    pub(crate) name: &'static str,
    provider: &'static str,
    /// The base URL's part after the fake's own.
    path: &'static str,
    /// Further lines of its section.
    more: &'static str,
    /// The models that are asked for: for text, for embeddings. The fake takes any name, but the
    /// provider's descriptor may choose a wire by it.
    models: [&'static str; 2],
}

const PLAIN: [&str; 2] = ["scripted-1", "scripted-embed"];
const KEY: &str = "api_key = { env = \"UPSTREAM_KEY\" }\n";
/// The native wire, which is not the preferred one.
const NATIVE: &str = "dialects = [\"ollama-chat\"]\n";
const VERSION: &str = "api_version = \"2024-10-21\"\napi_key = { env = \"UPSTREAM_KEY\" }\n";
const AWS: &str = "region = \"eu-central-1\"\n\
     aws = { access_key_id = { env = \"UPSTREAM_ID\" }, secret_access_key = { env = \"UPSTREAM_KEY\" } }\n";
/// An access token is a key like another.
const GOOGLE: &str =
    "project = \"scripted\"\nlocation = \"europe-west4\"\napi_key = { env = \"UPSTREAM_KEY\" }\n";

const fn upstream(
    name: &'static str,
    provider: &'static str,
    path: &'static str,
    more: &'static str,
    models: [&'static str; 2],
) -> Upstream {
    Upstream { name, provider, path, more, models }
}

/// Every provider's type that the fake speaks for, and every wire of those that have several.
pub(crate) const UPSTREAMS: &[Upstream] = &[
    upstream("openai", "openai", "/v1", KEY, PLAIN),
    upstream("chat", "openai-compatible", "/v1", KEY, PLAIN),
    upstream("anthropic", "anthropic", "", KEY, PLAIN),
    upstream("gemini", "gemini", "", KEY, PLAIN),
    upstream("bedrock", "bedrock", "", AWS, ["scripted-1", "amazon.titan-embed-scripted"]),
    upstream("invoke", "bedrock", "", AWS, ["anthropic.claude-scripted", "amazon.titan-embed-x"]),
    upstream("cohere", "cohere", "", KEY, PLAIN),
    upstream("ollama", "ollama", "", NATIVE, PLAIN),
    upstream("azure", "azure", "", KEY, PLAIN),
    upstream("deployed", "azure-deployments", "", VERSION, PLAIN),
    upstream("vertex", "vertex", "", GOOGLE, PLAIN),
    upstream("v-claude", "vertex", "", GOOGLE, ["claude-scripted", "scripted-embed"]),
];

impl Upstream {
    /// Its section, with aliases `via-{name}` and `embed-{name}`: some clients write no slash into
    /// a model's name.
    pub(crate) fn section(&self, url: &str) -> String {
        let Self { name, provider, path, more, models: [model, embed] } = self;
        format!(
            "[[upstream]]\nname = \"{name}\"\nprovider = \"{provider}\"\nbase_url = \"{url}{path}\"\n\
             models = [\"{model}\", \"{embed}\"]\n{more}\n\
             [[alias]]\nname = \"via-{name}\"\ntargets = [\"{name}/{model}\"]\n\n\
             [[alias]]\nname = \"embed-{name}\"\ntargets = [\"{name}/{embed}\"]\n\n"
        )
    }

    /// What a client asks for: for text, for embeddings.
    pub(crate) fn asked(&self, slash: bool) -> [String; 2] {
        let Self { name, models: [model, embed], .. } = self;
        if slash {
            [format!("{name}/{model}"), format!("{name}/{embed}")]
        } else {
            [format!("via-{name}"), format!("embed-{name}")]
        }
    }
}

/// The environment that the sections speak of.
pub(crate) const ENVIRONMENT: &[(&str, &str)] =
    &[("UPSTREAM_ID", "AKIASCRIPTED"), ("UPSTREAM_KEY", "upstream-secret")];

/// A fake that runs beside the test and ends with it.
pub(crate) struct Fake {
    process: Child,
    pub(crate) url: String,
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Fake {
    /// Every provider at once.
    pub(crate) fn providers() -> Self {
        let mut command = Command::new(node());
        command.arg(clients().join("fakes/providers.mjs")).arg("0");
        Self::start(command)
    }

    /// A real llama.cpp server, with a model that is written into the folder.
    pub(crate) fn llama(folder: &std::path::Path) -> Self {
        let mut command = Command::new(python());
        command.arg(clients().join("tiny_llama.py")).arg("0").arg(folder);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        // It ends when its input does, so also when the test is killed.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(told) = serde_json::from_str::<Value>(&line) else {
            let output = process.wait_with_output().unwrap();
            panic!("{command:?} did not start: {}", String::from_utf8_lossy(&output.stderr));
        };
        let mut told_later = process.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut told_later, &mut std::io::sink()));
        Self { process, url: told["url"].as_str().unwrap().to_owned() }
    }
}

/// Sections over one fake, each with its alias.
pub(crate) fn sections<'u>(upstreams: impl IntoIterator<Item = &'u Upstream>, url: &str) -> String {
    upstreams.into_iter().map(|upstream| upstream.section(url)).collect()
}
