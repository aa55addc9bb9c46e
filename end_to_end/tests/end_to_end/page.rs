//! The page in a real browser.

mod accounts;
mod browser;
mod files;
mod hostile;
mod messages;
mod screens;
mod screenshots;
mod tasks;
