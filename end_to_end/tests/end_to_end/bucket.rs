//! The files of the bucket on disk.

use std::path::Path;

use common::task::TaskKind;

use super::api::Api;

/// Every file in the bucket of the data folder `data`, by its relative path, sorted.
pub fn files(data: &Path) -> Vec<String> {
    let root = data.join("local_storage");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        // A folder may be removed while it is read.
        for entry in std::fs::read_dir(folder).into_iter().flatten().map_while(Result::ok) {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                _ => files.push(path.strip_prefix(&root).unwrap().display().to_string()),
            }
        }
    }
    files.sort();
    files
}

/// The expected contents of the bucket once all tasks are processed: their inputs, and the accepted
/// outputs of aggregations, sorted.
pub async fn wanted(api: &Api) -> Vec<String> {
    let mut wanted = Vec::new();
    for task in api.tasks().await {
        let id = task.task_id;
        wanted.push(format!("raw_data/{id}"));
        if task.kind == TaskKind::CsvAggregation {
            wanted.push(format!("processed_data/{id}/{}.csv", task.attempt));
        }
    }
    wanted.sort();
    wanted
}
