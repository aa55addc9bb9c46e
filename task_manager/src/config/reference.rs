//! Descriptions of the settings, for `docs/reference/settings.md`.

use std::path::Path;

use common::config::{Description, Settings, SettingsError};
use common::storage::StorageConfig;
use common::traces::TracesConfig;

use super::{Config, PREFIX};

const FIRST: &[Description] = &[
    Description::new(
        "listen",
        "Where the API listens. Without a login it must be a loopback address.",
    ),
    Description::with_default(
        "database_url",
        "`sqlite://tasks.sqlite` in the data folder",
        "The database. A fleet needs `mysql://USER:PASSWORD@HOST/DATABASE`, with \
         [parameters for TLS](../../task_manager/README.md#tls).",
    ),
    Description::with_default(
        "queue_url",
        "a queue inside the process",
        "The broker of a fleet: `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://` with TLS.",
    ),
    Description::new(
        "ca_file",
        "Additional certificates to trust for the broker and the bucket: a PEM file.",
    ),
    Description::new("queue_prefix", "The prefix of the names of the broker's queues."),
    Description::with_default(
        "storage",
        "`local_storage` in the data folder",
        "The files: a folder, or a bucket as `s3://BUCKET/PREFIX` ([Buckets](#buckets)).",
    ),
];

const OTHERS: &[Description] = &[
    Description::new(
        "presigned_downloads",
        "Whether downloads are redirected to the bucket, by URLs that are valid for 15 minutes. \
         Clients must be able to reach it.",
    ),
    Description::with_default(
        "service_token",
        "random at each start",
        "The secret that workers must present. A fleet must set it.",
    ),
    Description::new(
        "environment",
        "`development` or `production`. In production, the server does not start with secrets that \
         can be guessed.",
    ),
    Description::new(
        "login_required",
        "`true`; `false`, on loopback addresses only; or `auto`: a fleet requires a login, a \
         standalone server does not.",
    ),
    Description::with_default(
        "jwt_key",
        "standalone: `jwt.key` in the data folder",
        "The key that signs tokens. A fleet must set it, the same for all task managers.",
    ),
    Description::new("jwt_previous_key", "The previous key: tokens that it has signed stay valid."),
    Description::new("token_lifetime", "How long a token is valid."),
    Description::new("password_min", "The shortest new password, in characters."),
    Description::new("password_max", "The longest new password, in characters; up to 1,000."),
    Description::new("tries_by_name", "Logins and sign-ups per minute for each user name."),
    Description::new("tries_by_address", "Logins and sign-ups per minute for each client address."),
    Description::new(
        "run_schedules",
        "Whether this task manager runs [schedules](../user-events.md#schedules).",
    ),
    Description::new(
        "trust_forwarded_for",
        "Whether the client's address is the last one in `X-Forwarded-For`, and its scheme that of \
         `X-Forwarded-Proto`. Only for a server behind a proxy that sets these headers.",
    ),
    Description::new(
        "max_connections",
        "The most client connections at a time. Each needs a file handle of the process \
         (`ulimit -n`, `LimitNOFILE`), and so does each file in transfer.",
    ),
    Description::new(
        "header_timeout",
        "The time for the head of a request, from its first byte or from the start of the \
         connection.",
    ),
    Description::new(
        "keep_alive_timeout",
        "How long a connection may be idle between two requests.",
    ),
    Description::new(
        "body_timeout",
        "How long a client may send nothing of a body that is not a file. Then it gets 408.",
    ),
    Description::new(
        "send_timeout",
        "How long a client may read nothing of an answer. Then the connection is closed.",
    ),
    Description::new("upload_limit", "The largest file that is accepted."),
    Description::new(
        "upload_idle_timeout",
        "How long an upload may send no byte. Then it gets 408, and nothing of it is kept.",
    ),
    Description::new(
        "keep_uploads",
        "How long an unfinished [resumable upload](../uploads.md) is kept after its last byte.",
    ),
    Description::with_default(
        "cors_origins",
        "none",
        "The origins whose web pages may use the API, such as `https://files.example.org`, \
         separated by commas; `*` for any, only with a login.",
    ),
    Description::new("keep_files", "How long inputs and outputs of ended tasks are kept."),
    Description::new(
        "keep_tasks",
        "How long ended tasks are kept. A data upload and its rows stay until the task is \
         deleted.",
    ),
    Description::new(
        "sweep_interval",
        "How often the storage is searched for files that belong to no task. They are deleted when \
         they are older than this. In a fleet one task manager does it for all.",
    ),
    Description::with_default(
        "metrics_listen",
        "nowhere",
        "Where [metrics](../operations.md#metrics) are served, such as `127.0.0.1:5002`. They need \
         no login: the address should be reachable by the monitoring only. In a standalone \
         server, they include those of its worker.",
    ),
];

const LAST: &[Description] = &[
    Description::new(
        "log",
        "What is logged: a level, or directives such as `info,task_manager=debug`.",
    ),
    Description::new("log_format", "`text` or `json`."),
];

/// The settings as a Markdown table.
///
/// # Errors
/// A setting has no description, or a description has no setting.
pub fn reference() -> Result<String, SettingsError> {
    let mut settings = Settings::unset(PREFIX);
    Config::from_settings(&mut settings, Path::new("."));
    settings.reference(
        &[FIRST, &StorageConfig::DESCRIPTIONS, OTHERS, &TracesConfig::DESCRIPTIONS, LAST].concat(),
    )
}
