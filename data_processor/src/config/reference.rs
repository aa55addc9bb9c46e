//! What each setting means, for `docs/reference/settings.md`.

use common::config::{Description, Settings, SettingsError};
use common::storage::StorageConfig;
use common::traces::TracesConfig;

use super::{PREFIX, ProcessConfig};

const FIRST: &[Description] = &[
    Description::with_default(
        "queue_url",
        "must be set",
        "The broker: `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://` with TLS. Fleet only.",
    ),
    Description::new(
        "queue_prefix",
        "The prefix of the names of the broker's queues, as in the task manager. Fleet only.",
    ),
    Description::new(
        "task_manager_url",
        "Where the API is: one or several URLs (`http` or `https`), as a list or separated by \
         commas. A host name with several addresses counts as several task managers. Fleet only.",
    ),
    Description::new(
        "ca_file",
        "Additional certificates to trust for the API, the broker and the bucket: a PEM file. Fleet \
         only.",
    ),
    Description::with_default(
        "service_token",
        "must be set",
        "The secret to present to the task manager; the same as there. Fleet only.",
    ),
    Description::new(
        "storage",
        "The files, as in the task manager: a shared folder, or a bucket as `s3://BUCKET/PREFIX` \
         ([Buckets](#buckets)). Fleet only, like all of the following.",
    ),
];

const ADDRESSES: &[Description] = &[
    Description::new(
        "listen",
        "Where `/healthz` and `/readyz` (broker and API) are served. Each worker on a machine \
         needs its own address. Fleet only.",
    ),
    Description::with_default(
        "metrics_listen",
        "nowhere",
        "Where [metrics](../operations.md#metrics) are served, such as `127.0.0.1:5003`. They need \
         no login: the address should be reachable by the monitoring only. Fleet \
         only.",
    ),
];

const OTHERS: &[Description] = &[
    Description::new(
        "log",
        "What is logged: a level, or directives such as `info,data_processor=debug`. Fleet only.",
    ),
    Description::new("log_format", "`text` or `json`. Fleet only."),
    Description::with_default(
        "worker_slots",
        "number of cores",
        "How many tasks run at a time, small ones not counted. They share \
         [threads and memory](../../data_processor/README.md#threads-and-memory).",
    ),
    Description::new(
        "worker_small_slots",
        "How many small tasks (`message_validation`, `user_event`) run beside them at a time.",
    ),
    Description::with_default(
        "worker_name",
        "host name and process id",
        "The name in the list of workers.",
    ),
    Description::new(
        "memory_limit",
        "The memory for the groups of all running aggregations together. What does not fit goes to \
         unnamed temporary files in the system's folder for these (`TMPDIR`). A task may ask for \
         less.",
    ),
    Description::new(
        "unpacked_limit",
        "How large a `.gz` or `.zst` file may be when it is unpacked.",
    ),
    Description::new(
        "drain_timeout",
        "How long running tasks may continue when the worker is asked to end. Then they are \
         released.",
    ),
    Description::with_default("smtp_host", "none: reports are logged", "The mail server."),
    Description::new(
        "smtp_tls",
        "`starttls`; `tls`, from the first byte; or `none`. With the first two, mail is never sent \
         unencrypted.",
    ),
    Description::with_default(
        "smtp_port",
        "`587`; `465` with `tls`, `25` with `none`",
        "The port of the mail server.",
    ),
    Description::new("smtp_user", "The user, where the mail server asks for a login."),
    Description::new(
        "smtp_password",
        "The password. With `smtp_tls = \"none\"` only for a mail server on this machine.",
    ),
    Description::new(
        "smtp_ca_file",
        "Additional certificates to trust for the mail server: a PEM file.",
    ),
    Description::with_default(
        "mail_from",
        "must be set where `smtp_host` is",
        "The sender: `reports@example.org` or `Reports <reports@example.org>`, in ASCII before the \
         `@`.",
    ),
    Description::new(
        "mail_to",
        "The recipients of reports whose schedule has none, separated by commas.",
    ),
];

/// The settings of a worker in a process of its own as a table in Markdown.
///
/// # Errors
/// A setting has no description, or the other way round.
pub fn reference() -> Result<String, SettingsError> {
    let mut settings = Settings::unset(PREFIX);
    ProcessConfig::from_settings(&mut settings);
    let traces = &TracesConfig::DESCRIPTIONS;
    settings.reference(&[FIRST, &StorageConfig::DESCRIPTIONS, ADDRESSES, traces, OTHERS].concat())
}
