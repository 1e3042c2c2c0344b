//! `/account/`: the HTML pages that links in mails lead to, for tenants that have no pages of their own.
//!
//! A page has a form that sends the link's token to the API route of its kind. The token is in the fragment of the
//! link, which browsers do not send, and a script moves it into the form; without scripts the user pastes it. So a
//! mail scanner that fetches the link does not use it up.
//!
//! No decision about accounts is made here: the API routes that the forms are sent to make them.

mod refusals;
pub mod routes;
mod words;
