//! Multipart forms: the fields before the file, and the file.
//!
//! # Invariants
//! - A form is parsed in its own async task. Its reader may be cancelled at any moment; the parser
//!   is not, so no byte and no error is lost.
//! - The file is complete only after the closing boundary and the end of the body have arrived.
//! - The file is the last field.

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use common::problem::ErrorLocation;
use futures_util::stream::{Stream, StreamExt};
use multer::{Field, Multipart};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::disposition::Disposition;
use super::{BodyError, ByteStream, discard};
use crate::error::Error;

/// How many fields a form may have before its file, and how long each may be in bytes.
const MAX_FIELDS: usize = 100;
const MAX_FIELD: usize = 64 << 10;
/// How many bytes may follow the closing boundary. They are ignored; most clients send two.
const MAX_EPILOGUE: usize = 64 << 10;
/// How many pieces of the file are buffered, each at most as long as a piece of the body.
const PIECES: usize = 2;

/// A form whose fields before the file are parsed.
pub struct Form {
    pub parameters: Vec<(String, String)>,
    pub file_name: Option<String>,
    pub file: FormFile,
}

/// The file of a form while it arrives.
pub struct FormFile {
    pieces: mpsc::Receiver<Piece>,
    has_ended: bool,
}

/// Bytes of the file, its end, or an error.
type Piece = Result<Option<Bytes>, Error>;

impl FormFile {
    /// The next bytes of the file, at least one; `None` at its end. May be cancelled.
    ///
    /// # Errors
    /// The form is incomplete or malformed, or has a field after the file.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.has_ended {
            return Ok(None);
        }
        // A parser that stops without sending the end has panicked.
        let piece = self.pieces.recv().await.unwrap_or(Err(Error::Internal))?;
        self.has_ended = piece.is_none();
        Ok(piece)
    }
}

/// Reads a form up to its file.
///
/// # Errors
/// The form is incomplete or malformed, or has no file.
pub async fn read_form(body: ByteStream, boundary: String) -> Result<Form, Error> {
    let (head_sender, head) = oneshot::channel();
    let (sender, pieces) = mpsc::channel(PIECES);
    tokio::spawn(parse(body, boundary, head_sender, sender).in_current_span());
    let head: Head = head.await.unwrap_or(Err(Error::Internal))?;
    let file = FormFile { pieces, has_ended: false };
    Ok(Form { parameters: head.parameters, file_name: head.file_name, file })
}

/// The fields before the file, and the file's name.
struct Head {
    parameters: Vec<(String, String)>,
    file_name: Option<String>,
}

/// Parses the form. If it is refused, discards the rest of the body.
async fn parse(
    body: ByteStream,
    boundary: String,
    head_sender: oneshot::Sender<Result<Head, Error>>,
    pieces: mpsc::Sender<Piece>,
) {
    let body = PacedBody::new(body);
    let mut form = Multipart::new(body.clone(), boundary);
    let is_complete = match read_head(&mut form).await {
        Ok((head, file)) => match head_sender.send(Ok(head)) {
            Ok(()) => tokio::select! {
                sent = send_file(form, file, body.clone(), &pieces) => sent.is_ok(),
                () = pieces.closed() => false,
            },
            Err(_) => false,
        },
        Err(error) => {
            let _ = head_sender.send(Err(error));
            false
        }
    };
    if !is_complete {
        // The reader does not wait until the rest is discarded.
        drop(pieces);
        discard(body).await;
    }
}

/// Reads the form up to the field of the file.
async fn read_head(form: &mut Multipart<'static>) -> Result<(Head, Field<'static>), Error> {
    let mut parameters = Vec::new();
    loop {
        let field = form.next_field().await.map_err(|error| form_error(&error))?;
        let Some(mut field) = field else {
            return Err(Error::invalid("file", "is missing: the form has no such field"));
        };
        let Disposition { name, file_name } = disposition(&field);
        if name == "file" {
            return Ok((Head { parameters, file_name }, field));
        }
        let value = read_value(&mut field, &name).await?;
        parameters.push((name, value));
        if parameters.len() > MAX_FIELDS {
            return Err(Error::BadRequest(format!("The form has more than {MAX_FIELDS} fields.")));
        }
    }
}

fn disposition(field: &Field<'static>) -> Disposition {
    let header = field.headers().get("content-disposition");
    header.map(|header| Disposition::parse(header.as_bytes())).unwrap_or_default()
}

async fn read_value(field: &mut Field<'static>, name: &str) -> Result<String, Error> {
    let mut value = Vec::new();
    while let Some(bytes) = field.chunk().await.map_err(|error| form_error(&error))? {
        value.extend_from_slice(&bytes);
        if value.len() > MAX_FIELD {
            let reason = format!("is longer than {MAX_FIELD} bytes; the file's field is `file`");
            return Err(Error::InvalidParameters(vec![ErrorLocation::field(name, reason)]));
        }
    }
    String::from_utf8(value).map_err(|_| Error::invalid(name, "is not UTF-8 text"))
}

/// The form was refused, or its reader was dropped.
struct Unfinished;

/// Sends the file and its end to the reader.
async fn send_file(
    mut form: Multipart<'static>,
    mut file: Field<'static>,
    body: PacedBody,
    pieces: &mpsc::Sender<Piece>,
) -> Result<(), Unfinished> {
    let end = loop {
        match file.chunk().await.map_err(|error| form_error(&error)) {
            Ok(Some(bytes)) if bytes.is_empty() => {}
            Ok(None) => {
                drop(file);
                break read_end(&mut form, body).await;
            }
            piece => {
                let is_refused = piece.is_err();
                pieces.send(piece).await.map_err(|_| Unfinished)?;
                if is_refused {
                    return Err(Unfinished);
                }
            }
        }
    };
    let is_complete = end.is_ok();
    pieces.send(end.map(|()| None)).await.map_err(|_| Unfinished)?;
    if is_complete { Ok(()) } else { Err(Unfinished) }
}

/// Reads what follows the file: the closing boundary and the end of the body.
async fn read_end(form: &mut Multipart<'static>, mut body: PacedBody) -> Result<(), Error> {
    if let Some(field) = form.next_field().await.map_err(|error| form_error(&error))? {
        return Err(Error::invalid(
            &disposition(&field).name,
            "comes after the file; parameters go before it, and a form has one file",
        ));
    }
    let mut length = 0;
    while let Some(bytes) = body.next().await.transpose()? {
        length += bytes.len();
        if length > MAX_EPILOGUE {
            return Err(Error::BadRequest(format!(
                "More than {MAX_EPILOGUE} bytes follow the closing boundary of the form."
            )));
        }
    }
    Ok(())
}

fn form_error(error: &multer::Error) -> Error {
    match error {
        multer::Error::StreamReadFailed(error) => {
            let error = error.downcast_ref().copied().unwrap_or(BodyError::Broken);
            error.into()
        }
        multer::Error::IncompleteStream
        | multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteHeaders => Error::BadRequest(
            "The multipart form ends before its closing boundary, or one of its boundaries is \
             malformed; nothing of it is kept."
                .to_owned(),
        ),
        error => Error::BadRequest(format!("The multipart form cannot be read: {error}.")),
    }
}

/// A body that returns at most one piece per wake-up, shared with the parser.
///
/// Without this limit, the parser buffers everything that has arrived. Also, the parser searches
/// for the first boundary and polls once more. If the body has ended by then, it reports an
/// incomplete form without searching the bytes of the second poll. A small form that arrives
/// between the two polls, while the thread is suspended, would be refused.
#[derive(Clone)]
struct PacedBody(Arc<Mutex<Paced>>);

struct Paced {
    body: ByteStream,
    /// Whether the last poll returned a piece.
    has_given: bool,
}

impl PacedBody {
    fn new(body: ByteStream) -> Self {
        Self(Arc::new(Mutex::new(Paced { body, has_given: false })))
    }
}

impl Stream for PacedBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut paced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut paced.has_given) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = paced.body.poll_next_unpin(cx);
        paced.has_given = matches!(next, Poll::Ready(Some(_)));
        next
    }
}
