//! The files of the page, which are part of the program.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A file of the page.
pub struct File {
    path: &'static str,
    pub media_type: &'static str,
    pub bytes: &'static [u8],
    /// Changes with the bytes.
    pub etag: String,
}

/// The file at a path, for example `screens/tasks.js`.
pub fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

/// Includes files of `task_manager/page`.
macro_rules! files {
    ($($path:literal)*) => {
        &[$(($path, include_bytes!(concat!("../../../../page/", $path)))),*]
    };
}

/// Every file of the page. A test compares this list with the folder.
const EMBEDDED: &[(&str, &[u8])] = files! {
    "app.js"
    "charts.js"
    "charts/bars.js"
    "charts/columns.js"
    "charts/lines.js"
    "charts/plot.js"
    "charts/scale.js"
    "charts/sparkline.js"
    "csv.js"
    "csv_records.js"
    "dialect.js"
    "dialect_fields.js"
    "dom.js"
    "format.js"
    "forms.js"
    "http.js"
    "icon.svg"
    "icons.js"
    "index.html"
    "live.js"
    "notices.js"
    "refresh.js"
    "router.js"
    "row_selection.js"
    "screens/account.js"
    "screens/account/audit.js"
    "screens/account/key_table.js"
    "screens/account/keys.js"
    "screens/account/me.js"
    "screens/account/password.js"
    "screens/account/sessions.js"
    "screens/account/user_keys.js"
    "screens/account/users.js"
    "screens/events.js"
    "screens/events/cities.js"
    "screens/events/cron.js"
    "screens/events/form.js"
    "screens/events/mails.js"
    "screens/events/schedules.js"
    "screens/events/send.js"
    "screens/files.js"
    "screens/files/column_names.js"
    "screens/files/columns.js"
    "screens/files/commands.js"
    "screens/files/detected.js"
    "screens/files/follow.js"
    "screens/files/jobs.js"
    "screens/files/kinds.js"
    "screens/files/locks.js"
    "screens/files/prepare.js"
    "screens/files/prepared.js"
    "screens/files/progress.js"
    "screens/files/records.js"
    "screens/files/result.js"
    "screens/files/row.js"
    "screens/files/sample.js"
    "screens/files/sheet.js"
    "screens/files/sources.js"
    "screens/files/sums.js"
    "screens/files/transfers.js"
    "screens/login.js"
    "screens/messages.js"
    "screens/messages/row.js"
    "screens/messages/send.js"
    "screens/not_found.js"
    "screens/operations.js"
    "screens/operations/figures.js"
    "screens/operations/parts.js"
    "screens/operations/queue.js"
    "screens/operations/settings.js"
    "screens/operations/throughput.js"
    "screens/operations/workers.js"
    "screens/statistics.js"
    "screens/task.js"
    "screens/task/commands.js"
    "screens/task/facts.js"
    "screens/task/failure.js"
    "screens/task/head.js"
    "screens/task/part.js"
    "screens/task/preview.js"
    "screens/task/progress.js"
    "screens/task/rows.js"
    "screens/task/run_again.js"
    "screens/task/timeline.js"
    "screens/tasks.js"
    "screens/tasks/bulk.js"
    "screens/tasks/columns.js"
    "screens/tasks/failures.js"
    "screens/tasks/filter.js"
    "screens/tasks/filter_bar.js"
    "screens/tasks/help.js"
    "screens/tasks/keys.js"
    "screens/tasks/list.js"
    "screens/tasks/selection_bar.js"
    "screens/tasks/tabs.js"
    "screens/tasks/views.js"
    "screens/tasks/words.js"
    "sections.js"
    "session.js"
    "states.js"
    "style.css"
    "table.js"
    "tabs.js"
    "tus.js"
    "uploads.js"
};

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let file = |&(path, bytes): &(&'static str, &'static [u8])| File {
        path,
        media_type: media_type(path),
        bytes,
        etag: format!("\"{}\"", hex::encode(&Sha256::digest(bytes)[..16])),
    };
    EMBEDDED.iter().map(file).collect()
});

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("html") => "text/html; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn paths_in(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => paths_in(&path, root, found),
                false => found.push(path.strip_prefix(root).unwrap().display().to_string()),
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let mut found = Vec::new();
        paths_in(&root, &root, &mut found);
        found.sort();
        let embedded: Vec<_> = EMBEDDED.iter().map(|(path, _)| *path).collect();
        assert_eq!(embedded, found);
    }

    #[test]
    fn every_file_has_a_type_that_browsers_accept() {
        let unknown: Vec<_> =
            FILES.iter().filter(|file| file.media_type.ends_with("octet-stream")).collect();
        assert_eq!(unknown.len(), 0);
    }
}
