//! The operations of an OpenAPI document as Markdown.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, Value};

/// The prefix of references to shared answers.
const SHARED: &str = "#/components/responses/";
/// The answer to a request without a required token.
const UNAUTHORIZED: &str = "401";

/// The answers that most requests share.
pub fn common_answers(document: &Value) -> String {
    let answers: BTreeSet<_> = shared_answers(document).collect();
    let lines = answers.iter().map(|(status, description)| format!("- {status}: {description}\n"));
    lines.collect()
}

/// Status and description of each answer that is omitted from the requests.
fn shared_answers(document: &Value) -> impl Iterator<Item = (&String, &str)> {
    operations(document).flat_map(|(_, _, operation)| {
        let shared = object(&operation["responses"])
            .filter(|(status, answer)| is_shared(operation, status, answer));
        shared.map(|(status, answer)| {
            let answer = shared_name(answer)
                .map_or(answer, |name| &document["components"]["responses"][name]);
            (status, text(&answer["description"]))
        })
    })
}

/// Whether many requests share this answer: it is a reference, or the one for a missing token.
fn is_shared(operation: &Value, status: &str, answer: &Value) -> bool {
    shared_name(answer).is_some() || status == UNAUTHORIZED && operation["security"].is_array()
}

fn shared_name(answer: &Value) -> Option<&str> {
    answer["$ref"].as_str()?.strip_prefix(SHARED)
}

/// Every request, by tag.
pub fn requests(document: &Value) -> String {
    let mut output = String::new();
    for tag in document["tags"].as_array().unwrap() {
        let name = text(&tag["name"]);
        let _ = write!(output, "## {name}\n\n{}.\n\n", text(&tag["description"]));
        let tagged = operations(document)
            .filter(|(_, _, operation)| operation["tags"].as_array().unwrap()[0] == name);
        for (path, method, operation) in tagged {
            let _ = write!(output, "### {} {path}\n\n", method.to_uppercase());
            add_request(document, operation, &mut output);
        }
    }
    output
}

fn add_request(document: &Value, operation: &Value, output: &mut String) {
    for part in ["summary", "description"] {
        if let Some(text) = operation[part].as_str() {
            let _ = write!(output, "{}\n\n", one_line(text));
        }
    }
    if let Some(parameters) = operation["parameters"].as_array() {
        output.push_str("| parameter | in | type | meaning |\n|---|---|---|---|\n");
        for parameter in parameters {
            let required = if parameter["required"] == true { "; required" } else { "" };
            let _ = writeln!(
                output,
                "| `{}` | {}{required} | {} | {} |",
                text(&parameter["name"]),
                text(&parameter["in"]),
                type_of(document, &parameter["schema"]).replace('|', "\\|"),
                one_line(text(&parameter["description"])).replace('|', "\\|")
            );
        }
        output.push('\n');
    }
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        let _ = write!(output, "Body: {}.\n\n", types_of(document, content));
    }
    for (status, answer) in object(&operation["responses"]) {
        if !is_shared(operation, status, answer) {
            let description = one_line(text(&answer["description"]));
            let _ = write!(output, "- {status}: {description}");
            // Errors are problem documents.
            if let Some(content) = answer["content"].as_object()
                && status.starts_with('2')
            {
                let _ = write!(output, " ({})", types_of(document, content));
            }
            output.push('\n');
        }
    }
    output.push('\n');
}

/// Media types with their schemas.
fn types_of(document: &Value, content: &Map<String, Value>) -> String {
    let types = content.iter().map(|(media_type, content)| {
        match type_of(document, &content["schema"]).as_str() {
            "string" => format!("`{media_type}`"),
            schema => format!("`{media_type}` {schema}"),
        }
    });
    types.collect::<Vec<_>>().join(", ")
}

/// A schema in a few words: its name in the document, its values, a type, or several types. Empty
/// texts, which stand for absent parameters, are not named.
fn type_of(document: &Value, schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        let named = &document["components"]["schemas"][name];
        return if named["enum"].is_array() {
            type_of(document, named)
        } else {
            format!("`{name}`")
        };
    }
    if let Some(choices) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let choices = choices.iter().filter(|choice| choice["maxLength"] != 0);
        let choices = choices.map(|choice| type_of(document, choice));
        return choices.collect::<Vec<_>>().join(" or ");
    }
    if let Some(values) = schema["enum"].as_array() {
        let values = values.iter().map(|value| format!("`{}`", text(value)));
        return values.collect::<Vec<_>>().join(" or ");
    }
    match (text(&schema["type"]), schema["format"].as_str()) {
        ("array", _) => format!("list of {}", type_of(document, &schema["items"])),
        ("string", Some(format)) => format.to_owned(),
        (name, _) => name.to_owned(),
    }
}

/// Path, method and description of each request.
fn operations(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    object(&document["paths"])
        .flat_map(|(path, item)| object(item).map(move |(method, it)| (path, method, it)))
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
