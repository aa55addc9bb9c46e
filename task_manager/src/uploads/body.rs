//! The bytes of a file in a request: the raw body, or the file field of a multipart form.

use std::time::Duration;

use bytes::Bytes;
use common::problem::ErrorLocation;
use futures_util::stream::{BoxStream, StreamExt};
use multer::{Field, Multipart};
use tokio::time::timeout;

use crate::error::ApiError;

/// How many fields a form may have before its file, and how long each may be in bytes.
const MAX_FIELDS: usize = 100;
const MAX_FIELD: usize = 64 << 10;
/// How much of a refused body is read, so that the client sees the answer and no broken
/// connection, and for how long.
const DRAIN_BYTES: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// The bytes of a request.
pub type ByteStream = BoxStream<'static, Result<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// A file that arrives.
pub enum FileBody {
    /// The body is the file.
    Raw(ByteStream),
    /// The file is a field of a form; the form holds nothing after it.
    Form(Box<FormFile>),
}

/// The file field of a form.
pub struct FormFile {
    form: Multipart<'static>,
    /// The field, until it has ended.
    field: Option<Field<'static>>,
}

impl FormFile {
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let Some(field) = &mut self.field else { return Ok(None) };
        if let Some(bytes) = field.chunk().await.map_err(|error| form_error(&error))? {
            return Ok(Some(bytes));
        }
        self.field = None;
        match self.form.next_field().await.map_err(|error| form_error(&error))? {
            None => Ok(None),
            Some(field) => Err(ApiError::invalid(
                field.name().unwrap_or_default(),
                "comes after the file; parameters go before it, and a form has one file",
            )),
        }
    }
}

/// The fields of a form before its file, and the file.
pub struct Form {
    pub parameters: Vec<(String, String)>,
    pub file_name: Option<String>,
    pub file: FileBody,
}

/// Reads the fields up to the file.
pub async fn read_form(body: ByteStream, boundary: String) -> Result<Form, ApiError> {
    let mut form = Multipart::new(body, boundary);
    let mut parameters = Vec::new();
    loop {
        let field = form.next_field().await.map_err(|error| form_error(&error))?;
        let Some(mut field) = field else {
            return Err(ApiError::invalid("file", "is missing: the form has no such field"));
        };
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            let file_name = field.file_name().map(str::to_owned);
            let file = FileBody::Form(Box::new(FormFile { form, field: Some(field) }));
            return Ok(Form { parameters, file_name, file });
        }
        let value = read_value(&mut field, &name).await?;
        parameters.push((name, value));
        if parameters.len() > MAX_FIELDS {
            return Err(ApiError::BadRequest(format!(
                "The form has more than {MAX_FIELDS} fields."
            )));
        }
    }
}

async fn read_value(field: &mut Field<'static>, name: &str) -> Result<String, ApiError> {
    let mut value = Vec::new();
    while let Some(bytes) = field.chunk().await.map_err(|error| form_error(&error))? {
        value.extend_from_slice(&bytes);
        if value.len() > MAX_FIELD {
            let reason = format!("is longer than {MAX_FIELD} bytes; the file's field is `file`");
            return Err(ApiError::InvalidParameters(vec![ErrorLocation::field(name, reason)]));
        }
    }
    String::from_utf8(value).map_err(|_| ApiError::invalid(name, "is not UTF-8 text"))
}

fn form_error(error: &multer::Error) -> ApiError {
    match error {
        multer::Error::StreamReadFailed(_) => {
            ApiError::UploadCut("The connection broke while the form arrived.".to_owned())
        }
        multer::Error::IncompleteStream
        | multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteHeaders => ApiError::BadRequest(
            "The multipart form ends before its closing boundary; nothing of it is kept."
                .to_owned(),
        ),
        error => ApiError::BadRequest(format!("The multipart form cannot be read: {error}.")),
    }
}

impl FileBody {
    /// The next bytes of the file, one at least; none at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let bytes = match self {
                Self::Raw(stream) => stream.next().await.transpose().map_err(|_| {
                    ApiError::UploadCut("The connection broke while the file arrived.".to_owned())
                })?,
                Self::Form(file) => file.next().await?,
            };
            if bytes.as_ref().is_none_or(|bytes| !bytes.is_empty()) {
                return Ok(bytes);
            }
        }
    }

    /// Reads on for a bounded while and forgets it.
    pub async fn drain(mut self) {
        let reading = async {
            let mut read = 0;
            while read < DRAIN_BYTES {
                match &mut self {
                    Self::Raw(stream) => match stream.next().await {
                        Some(Ok(bytes)) => read += bytes.len(),
                        _ => return,
                    },
                    Self::Form(file) => match &mut file.field {
                        Some(field) => match field.chunk().await {
                            Ok(Some(bytes)) => read += bytes.len(),
                            _ => file.field = None,
                        },
                        None => match file.form.next_field().await {
                            Ok(Some(field)) => file.field = Some(field),
                            _ => return,
                        },
                    },
                }
            }
        };
        // An error or the end of the time says the same: nobody is waiting any more.
        let _ = timeout(DRAIN_TIME, reading).await;
    }
}
