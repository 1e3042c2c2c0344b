//! The edge's own public routes: by what each acts (Bearer, a token in the body, a cookie), and whether
//! its answer carries cookies. [`crate::serve`] calls them when the method is judged.

use shared::refusal::{Refusal, TokenFault};

use crate::after::Reply;
use crate::app::App;
use crate::body;
use crate::body::Fields;
use crate::browser::cookies::{Names, csrf_token};
use crate::browser::origin::{by_cookie, may_set};
use crate::http::{Answer, Incoming};
use crate::platform::Platform;
use crate::route::{KeyForm, Own};
use crate::sessions::issued::Issued;
use crate::sessions::logout;
use crate::sessions::logout::By;
use crate::sessions::refresh;
use crate::sessions::verify;
use crate::sign_in::flow;
use crate::tenants::find::{Found, find_fresh, find_known};
use crate::tenants::target::{Bearer, Cached, Target};
use crate::tokens::keys;
use crate::tokens::validate;

/// The edge's own public routes, their method judged already.
pub(crate) async fn edge<P: Platform>(
    app: &App<P>,
    own: Own,
    target: &Target,
    request: &P::Request,
    now_ms: u64,
) -> Result<Reply, Refusal> {
    match own {
        Own::Keys(form) => {
            let found = find_fresh(app, &target.named, now_ms).await?;
            let answer = published(form, &found, request, target.cached, now_ms);
            let response = answer.unwrap_or_else(|refusal| Answer::refusal(&refusal));
            Ok(Reply { response, after: found.after })
        }
        Own::Validate => validate_route(app, target, request, now_ms).await,
        Own::Token => token(app, target, request).await.map(Reply::from),
        Own::Login => login(app, target, request).await.map(Reply::from),
        Own::Refresh => refreshed(app, target, request).await.map(Reply::from),
        Own::Verify => {
            let (fields, now_ms) = arrived(app, request).await?;
            verify::verify(app, &target.named, &fields, now_ms).await.map(Reply::from)
        }
        Own::Blacklist => {
            let (fields, now_ms) = arrived(app, request).await?;
            logout::blacklist(app, &target.named, &fields, now_ms).await.map(Reply::from)
        }
        Own::Logout => leave(app, target, request).await.map(Reply::from),
    }
}

async fn token<P: Platform>(app: &App<P>, target: &Target, request: &P::Request) -> Result<Answer, Refusal> {
    let (fields, now_ms) = arrived(app, request).await?;
    let issued = flow::sign_in(app, &target.named, &fields, &request.client(), now_ms).await?;
    Ok(issued.at_token())
}

async fn login<P: Platform>(app: &App<P>, target: &Target, request: &P::Request) -> Result<Answer, Refusal> {
    let (fields, now_ms) = arrived(app, request).await?;
    let issued = flow::sign_in(app, &target.named, &fields, &request.client(), now_ms).await?;
    let names = may_set(&issued.known, target, request, &fields);
    let csrf_token = names.and_then(|_| csrf_token(&issued.known, issued.sid));
    Ok(with_cookies(issued.at_login(csrf_token.as_deref()), names, &issued, now_ms))
}

async fn refreshed<P: Platform>(
    app: &App<P>,
    target: &Target,
    request: &P::Request,
) -> Result<Answer, Refusal> {
    let (fields, now_ms) = arrived(app, request).await?;
    let token = refresh_token(app, target, request, &fields, now_ms).await?;
    let issued = refresh::refresh(app, &target.named, &token, now_ms).await?;
    let names = may_set(&issued.known, target, request, &fields);
    Ok(with_cookies(issued.at_refresh(), names, &issued, now_ms))
}

fn with_cookies(mut answer: Answer, names: Option<Names>, issued: &Issued, now_ms: u64) -> Answer {
    if let Some(names) = names {
        issued.set_cookies(&mut answer, names, now_ms);
    }
    answer
}

/// The refresh token of the body, else of the cookie: 400 where there is none. A form has none but its
/// own, because its answer could not set the successor.
async fn refresh_token<P: Platform>(
    app: &App<P>,
    target: &Target,
    request: &P::Request,
    fields: &Fields,
    now_ms: u64,
) -> Result<String, Refusal> {
    let asks_cookie = !fields.has("refresh") && !fields.is_form();
    let presented = if asks_cookie { by_cookie(app, target, request, now_ms).await? } else { None };
    match presented.and_then(|presented| presented.refresh) {
        Some((token, _)) => Ok(token),
        None => fields.token("refresh"),
    }
}

/// Logout: by Bearer, by `refresh` in the body, or by cookie. The cookies go with the answer; by cookie
/// also where the session had ended already.
async fn leave<P: Platform>(app: &App<P>, target: &Target, request: &P::Request) -> Result<Answer, Refusal> {
    let (fields, now_ms) = arrived(app, request).await?;
    let bearer = Bearer::read(request);
    let presented = match bearer {
        Bearer::None if !fields.has("refresh") => by_cookie(app, target, request, now_ms).await?,
        Bearer::None | Bearer::Malformed | Bearer::Token(_) => None,
    };
    let by = match (&bearer, &presented) {
        (Bearer::Malformed, _) => return Err(Refusal::bad_authorization_header()),
        (Bearer::Token(token), _) => By::Bearer(token),
        (Bearer::None, Some(presented)) => By::Cookies(presented),
        (Bearer::None, None) => By::Body,
    };
    let mut answer = match logout::logout(app, &target.named, by, &fields, now_ms).await {
        Ok(answer) => answer,
        Err(refusal) if refusal.status == 401 && presented.is_some() => Answer::refusal(&refusal),
        Err(refusal) => return Err(refusal),
    };
    let known = find_known(app, &target.named, now_ms).await?;
    let judged = presented.and_then(|_| Names::of(&known));
    if let Some(names) = judged.or_else(|| may_set(&known, target, request, &fields)) {
        answer.clear_session(names);
    }
    Ok(answer)
}

/// The fields of a body, and the time at which it has arrived. Who holds theirs back must not be judged by
/// the time at which they began: an attempt's window, a retry window, an `exp` or an age could be stretched
/// at will.
async fn arrived<P: Platform>(app: &App<P>, request: &P::Request) -> Result<(Fields, u64), Refusal> {
    let fields = body::fields(request).await?;
    Ok((fields, app.platform.now_ms()))
}

/// The public keys, as JWKS or alone.
pub(crate) fn published(
    form: KeyForm,
    found: &Found,
    request: &impl Incoming,
    cached: Cached,
    now_ms: u64,
) -> Result<Answer, Refusal> {
    let known = &found.known;
    match form {
        KeyForm::Jwks => Ok(keys::jwks(known, request.header("if-none-match").as_deref(), cached)),
        KeyForm::PublicKey => keys::public_key(known, request.header("accept").as_deref(), now_ms, cached),
    }
}

async fn validate_route<P: Platform>(
    app: &App<P>,
    target: &Target,
    request: &P::Request,
    now_ms: u64,
) -> Result<Reply, Refusal> {
    let (token, now_ms) = match Bearer::read(request) {
        Bearer::Token(token) => (token, now_ms),
        Bearer::Malformed => return Err(TokenFault::Invalid.at_validate()),
        Bearer::None => {
            let (fields, now_ms) = arrived(app, request).await?;
            let asks_cookie = !fields.has("token");
            let presented = if asks_cookie { by_cookie(app, target, request, now_ms).await? } else { None };
            match presented.and_then(|presented| presented.unverified_access) {
                Some(token) => (token, now_ms),
                None => (fields.token("token")?, now_ms),
            }
        }
    };
    let found = find_fresh(app, &target.named, now_ms).await?;
    let mut response = match validate::validate(app, &found, &target.named, &token, now_ms).await {
        Ok(answer) => answer,
        Err(refusal) => Answer::refusal(&refusal),
    };
    response.set("Wardgate-State-Age", state_age(app, now_ms));
    Ok(Reply { response, after: found.after })
}

/// The age of what is known, in seconds with one decimal.
pub(crate) fn state_age<P: Platform>(app: &App<P>, now_ms: u64) -> String {
    let tenths = app.knowledge.borrow().age_ms(now_ms).unwrap_or(0) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}
