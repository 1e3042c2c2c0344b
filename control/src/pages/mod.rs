//! `/account/`: the plain pages that links in mails lead to, for tenants that have none of their own.
//!
//! A page holds a form that sends the link's token to the route of its kind. The token stands in the fragment of
//! the link, which no browser sends, and a script moves it into the form; without scripts the user pastes it. So
//! whoever fetches the link alone, as scanners of mail do, uses nothing up.
//!
//! Here is no decision about accounts: the routes that the forms are sent to make those.

mod refusals;
pub mod routes;
mod words;
