//! Adds to the document what follows from the table of routes: credentials, and the errors that routes share.

use serde_json::{Map, Value, json};
use shared::contract::openapi::edge_refusals;
use shared::contract::routes::{self, Route, RouteKind};
use shared::contract::step_up::{self, Guarded};

use crate::http::list::List;
use crate::jobs::listed;
use crate::users::Filters;
use crate::{audit, branches, roles, tenants};

/// Names of the error responses that routes share, by status.
const COMMON: [(&str, &str); 10] = [
    ("400", "Invalid"),
    ("401", "Unauthenticated"),
    ("403", "Forbidden"),
    ("404", "NotFound"),
    ("412", "PreconditionFailed"),
    ("413", "TooLarge"),
    ("415", "UnsupportedMediaType"),
    ("429", "Throttled"),
    ("500", "Internal"),
    ("503", "Unavailable"),
];

/// Completes the document.
pub(super) fn complete(document: &mut Value) {
    let components = &mut document["components"];
    components["securitySchemes"] = security_schemes();
    components["responses"] = refusals();
    // Requests refuse a setting that is not known; only a reader of stored documents ignores one.
    components["schemas"]["Settings"]["additionalProperties"] = json!(false);
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        // The table of routes takes plain segments, and braces are not plain.
        let plain = path.replace(['{', '}'], "");
        let route = routes::find(&plain);
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let (Some(route), Some(operation)) = (route, operation.as_object_mut()) else { continue };
            secure(operation, route, method == "get");
            if let Some(guarded) = step_up::guarded(&method.to_uppercase(), &plain) {
                guard(operation, guarded);
            }
            if route.is_strangers_form() {
                ask_for_captcha(operation);
            }
            refuse(operation, route.kind, method, path);
            also_as_form(operation);
        }
    }
    orderings::<Filters>(&mut document["paths"]["/api/user/users/"]);
    orderings::<audit::Filters>(&mut document["paths"]["/api/audit/"]);
    orderings::<tenants::Filters>(&mut document["paths"]["/api/tenant/tenants/"]);
    orderings::<roles::Filters>(&mut document["paths"]["/api/user/roles/"]);
    orderings::<branches::Filters>(&mut document["paths"]["/api/tenant/branches/"]);
    orderings::<listed::Filters>(&mut document["paths"]["/api/platform/jobs/"]);
}

fn security_schemes() -> Value {
    json!({
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "cookie": {
            "type": "apiKey", "in": "cookie", "name": "__Host-access_token",
            "description": "Only on a tenant's own hosts. Named `access_token` if the tenant's setting `cookies` is `plain`.",
        },
        "ticket": {
            "type": "http", "scheme": "bearer",
            "description": "The `ticket` of a refused sign-in (`wgt_...`), in place of an access token. Valid once, for the routes of its purpose.",
        },
        "csrf": {
            "type": "apiKey", "in": "header", "name": "X-CSRFToken",
            "description": "Required with the cookie on unsafe methods, together with an allowed `Origin`: the value of the cookie `csrftoken`.",
        },
    })
}

/// Adds the accepted credentials. The edge's own routes describe theirs themselves.
fn secure(operation: &mut Map<String, Value>, route: &Route, is_safe: bool) {
    let mut security = match route.kind {
        RouteKind::Edge | RouteKind::EdgeWithoutAllow | RouteKind::Open | RouteKind::Anonymous => vec![],
        RouteKind::Protected if is_safe => vec![json!({"bearer": []}), json!({"cookie": []})],
        RouteKind::Protected => vec![json!({"bearer": []}), json!({"cookie": [], "csrf": []})],
    };
    security.extend(route.ticket.map(|_| json!({"ticket": []})));
    let security = Value::from(security);
    operation.entry("security").or_insert(security);
}

/// Notes in the description and in the 403 of a request that it requires a recent sign-in or step-up.
fn guard(operation: &mut Map<String, Value>, guarded: &Guarded) {
    let named: Vec<_> = guarded.fields.iter().map(|field| format!("`{field}`")).collect();
    let when = match named.split_last() {
        None => String::new(),
        Some((last, [])) => format!(" if the body has {last}"),
        Some((last, others)) => format!(" if the body has {} or {last}", others.join(", ")),
    };
    let described = operation.get("description").and_then(Value::as_str).unwrap_or_default();
    let described =
        format!("{described} Requires a recent sign-in or step-up{when}: else 403 `step_up_required`.");
    operation.insert(String::from("description"), described.into());
    operation.insert(String::from("x-step-up"), json!({ "fields": guarded.fields }));
    if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
        let reference = json!({"$ref": "#/components/responses/StepUpRequired"});
        responses.entry("403").or_insert(reference);
    }
}

/// What strangers ask for, where the tenant may ask them for a CAPTCHA: the edge reads the header, and control never sees it.
fn ask_for_captcha(operation: &mut Map<String, Value>) {
    let described = operation.get("description").and_then(Value::as_str).unwrap_or_default();
    let described = format!(
        "{described} Where the tenant asks here for a CAPTCHA, 403 `captcha_required` without a solved one."
    );
    operation.insert(String::from("description"), described.into());
    let header = json!({
        "name": "Captcha-Response", "in": "header", "required": false, "schema": {"type": "string"},
        "description": "What the widget of Turnstile, hCaptcha or reCAPTCHA gave, where the tenant asks for it.",
    });
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        parameters.push(header);
    }
}

fn refuse(operation: &mut Map<String, Value>, kind: RouteKind, method: &str, path: &str) {
    let statuses = match kind {
        RouteKind::Edge | RouteKind::EdgeWithoutAllow => edge_refusals(method, path).to_vec(),
        RouteKind::Protected | RouteKind::Open | RouteKind::Anonymous => refused_by_control(operation, kind),
    };
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for (status, name) in COMMON {
        if status == "500" || statuses.contains(&status) {
            let reference = json!({"$ref": format!("#/components/responses/{name}")});
            responses.entry(status).or_insert(reference);
        }
    }
}

/// The error statuses of a route of control, by what the route reads.
fn refused_by_control(operation: &Map<String, Value>, kind: RouteKind) -> Vec<&'static str> {
    let reads_query = operation.get("parameters").and_then(Value::as_array).is_some_and(|parameters| {
        parameters.iter().any(|parameter| matches!(parameter["in"].as_str(), Some("query" | "header")))
    });
    let is_conditional = operation
        .get("parameters")
        .and_then(Value::as_array)
        .is_some_and(|parameters| parameters.iter().any(|parameter| parameter["name"] == "If-None-Match"));
    let has_body = operation.contains_key("requestBody");
    let statuses = [
        (has_body || reads_query, "400"),
        (kind == RouteKind::Protected, "401"),
        (true, "403"),
        (true, "404"),
        (is_conditional, "412"),
        (has_body, "413"),
        (has_body, "415"),
        (true, "429"),
        (true, "503"),
    ];
    statuses.into_iter().filter_map(|(given, status)| given.then_some(status)).collect()
}

/// Bodies whose members are all texts or booleans may be sent as a form.
fn also_as_form(operation: &mut Map<String, Value>) {
    let of = |tag: &str| operation.get("tags").is_some_and(|tags| tags == &json!([tag]));
    let flat = ["Tokens", "Users", "Accounts", "Second factor"].into_iter().any(of);
    let Some(content) = operation.get_mut("requestBody").map(|body| &mut body["content"]) else { return };
    if flat {
        for form in ["application/x-www-form-urlencoded", "multipart/form-data"] {
            content[form] = json!({"schema": content["application/json"]["schema"]});
        }
    }
}

/// The values of `ordering`, from the list's own description.
fn orderings<L: List>(item: &mut Value) {
    let words = L::ORDERINGS.iter().flat_map(|(name, _)| [json!(name), json!(format!("-{name}"))]);
    let words: Vec<_> = words.collect();
    let parameters = item["get"]["parameters"].as_array_mut().into_iter().flatten();
    for parameter in parameters.filter(|parameter| parameter["name"] == "ordering") {
        parameter["schema"] = json!({"type": "array", "items": {"type": "string", "enum": words}});
        (parameter["style"], parameter["explode"]) = (json!("form"), json!(false));
    }
}

/// The shared error responses, each with an example.
fn refusals() -> Value {
    let of = |description: &str, example: Value| {
        json!({
            "description": description,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refused"}, "example": example}},
        })
    };
    let mut refusals = json!({
        "Invalid": {
            "description": "The input is invalid; all errors are reported at once",
            "content": {"application/json": {
                "schema": {"anyOf": [{"$ref": "#/components/schemas/FieldErrors"}, {"$ref": "#/components/schemas/Refused"}]},
                "example": {"username": ["This field is required."]},
            }},
        },
        "Unauthenticated": of("No valid credential", json!({"detail": "Authentication credentials were not provided."})),
        "Forbidden": of("Not allowed", json!({"detail": "You do not have permission to perform this action."})),
        "StepUpRequired": of("Not allowed; or, with the code `step_up_required`, the last sign-in or step-up is too old: call `POST /api/step-up/` with one of `methods`, then repeat the request", json!({
            "detail": "A recent step-up is required.", "code": "step_up_required", "methods": ["totp", "recovery_code"], "max_age": 900,
        })),
        "NotFound": of("No such object or tenant", json!({"detail": "Not found."})),
        "PreconditionFailed": of("The object does not match `If-Match`", json!({"detail": "The object has been changed since it was read.", "code": "precondition_failed"})),
        "TooLarge": of("The body is larger than 1 MiB", json!({"detail": "Request body is too large.", "code": "too_large"})),
        "UnsupportedMediaType": of("The body is neither JSON nor a form", json!({"detail": "Unsupported media type \"text/plain\" in request."})),
        "Throttled": of("Too many requests", json!({"detail": "Request was throttled. Expected available in 60 seconds."})),
        "Internal": of("Internal error", json!({"detail": "Internal error.", "code": "internal"})),
        "Unavailable": of("Temporarily unavailable", json!({"detail": "Service temporarily unavailable.", "code": "unavailable"})),
    });
    let header = |description: &str| json!({"description": description, "schema": {"type": "string"}});
    refusals["Unauthenticated"]["headers"] = json!({"WWW-Authenticate": header("`Bearer realm=\"api\"`")});
    for name in ["Throttled", "Unavailable"] {
        refusals[name]["headers"] = json!({"Retry-After": header("Seconds")});
    }
    refusals
}
