//! The OpenAPI document, made from the code; a test keeps a copy of it.

use utoipa::OpenApi;

/// What the document says beside the paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Task platform",
        description = "Hand over a file; workers process it; watch it live, interrupt it, and \
                       fetch the result. Nothing accepted is lost.\n\n\
                       Every error is a problem document (RFC 9457) with a stable `code`. Times \
                       are RFC 3339 in UTC; an absent value is `null`.",
        license(name = "MIT", identifier = "MIT")
    ),
    tags(
        (name = "data_processor", description = "Aggregate CSV files"),
        (name = "file_statistics", description = "Lines, words and characters of any file, and the report over them"),
        (name = "messages", description = "Send messages, and search and count those that were accepted"),
        (name = "tasks", description = "Watch, stop, kill, resume and delete tasks"),
        (name = "workers", description = "Who does the work"),
        (name = "health", description = "How the server is"),
    )
)]
pub struct Document;
