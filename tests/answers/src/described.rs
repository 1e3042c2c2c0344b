//! Answers against the OpenAPI document: status, media type and shape of the body.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shared::contract::routes::{self, RouteKind};

use crate::{Kind, Seen};

/// The document, by what it says of answers.
pub struct Described<'a> {
    document: &'a Value,
    /// The operation of a method and a route.
    operations: BTreeMap<(String, String), &'a Value>,
}

impl<'a> Described<'a> {
    /// Reads a document.
    #[must_use]
    pub fn new(document: &'a Value) -> Self {
        let mut operations = BTreeMap::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            let segments = path.trim_matches('/').split('/');
            let route = segments.map(|segment| if segment.starts_with('{') { "*" } else { segment });
            let route = route.collect::<Vec<_>>().join("/");
            for (method, operation) in item.as_object().into_iter().flatten() {
                operations.insert((method.to_uppercase(), route.clone()), operation);
            }
        }
        Self { document, operations }
    }

    /// Every difference between the answers and the document, each once.
    #[must_use]
    pub fn differences(&self, answers: &[Seen]) -> BTreeSet<String> {
        answers.iter().filter_map(|seen| self.difference(seen)).collect()
    }

    fn difference(&self, seen: &Seen) -> Option<String> {
        let Kind { method, route, status, media_type } = &seen.kind;
        let name = format!("{method} /{route} {status}");
        let Some(response) = self.response(&seen.kind) else {
            return Some(format!("{name}: not in the document; the answer was {}", start(&seen.body)));
        };
        let Some(content) = response["content"].as_object().filter(|content| !content.is_empty()) else {
            return (!seen.body.is_empty()).then(|| format!("{name}: a body where none is described"));
        };
        let described = content.get(media_type).or_else(|| content.get("*/*"));
        let Some(described) = described else {
            return Some(format!("{name}: undescribed media type `{media_type}`"));
        };
        if media_type != "application/json" {
            return None;
        }
        let Ok(body) = serde_json::from_str::<Value>(&seen.body) else {
            return Some(format!("{name}: not JSON: {}", start(&seen.body)));
        };
        self.fault(&described["schema"], &body)
            .map(|fault| format!("{name}: {fault} in {}", start(&seen.body)))
    }

    /// The described answer, references followed.
    fn response(&self, kind: &Kind) -> Option<&'a Value> {
        let operation = self.operations.get(&(kind.method.clone(), kind.route.clone()))?;
        let response = operation["responses"].get(kind.status.to_string())?;
        match response["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.strip_prefix('#')?),
            None => Some(response),
        }
    }

    /// The deviations of a body from its schema. References point into the document's components, which are in the
    /// schema under the same name.
    fn fault(&self, schema: &Value, body: &Value) -> Option<String> {
        let schema = json!({"components": self.document["components"], "allOf": [schema]});
        match jsonschema::draft202012::new(&schema) {
            Ok(validator) => {
                validator.validate(body).err().map(|error| format!("{error} at `{}`", error.instance_path()))
            }
            Err(error) => Some(format!("a schema that cannot be read: {error}")),
        }
    }

    /// Statuses of the edge's own routes that the document lists and no test has seen: the description must match the
    /// code exactly.
    #[must_use]
    pub fn unseen(&self, answers: &[Seen]) -> BTreeSet<String> {
        let seen: BTreeSet<_> = answers
            .iter()
            .map(|seen| (&seen.kind.method, &seen.kind.route, seen.kind.status.to_string()))
            .collect();
        let at_the_edge = |route: &str| {
            let found = routes::find(&format!("/{route}"));
            found.is_some_and(|found| matches!(found.kind, RouteKind::Edge | RouteKind::EdgeWithoutAllow))
        };
        let mut unseen = BTreeSet::new();
        for ((method, route), operation) in
            self.operations.iter().filter(|((_, route), _)| at_the_edge(route))
        {
            // The entry script answers internal errors, and no input of a test causes one.
            for status in
                operation["responses"].as_object().into_iter().flat_map(|responses| responses.keys())
            {
                if status != "500" && !seen.contains(&(method, route, status.clone())) {
                    unseen.insert(format!("{method} /{route} {status}: described, and no test has seen it"));
                }
            }
        }
        unseen
    }
}

/// The beginning of a body, for a message.
fn start(body: &str) -> String {
    body.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        json!({
            "paths": {
                "/api/user/users/{id}/": {"get": {"responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/User"}}}},
                    "304": {"description": "unchanged"},
                    "404": {"$ref": "#/components/responses/NotFound"},
                }}},
                "/healthz": {"get": {"responses": {"200": {}, "503": {}}}},
            },
            "components": {
                "schemas": {"User": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}},
                "responses": {"NotFound": {"content": {"application/json": {"schema": {"type": "object"}}}}},
            },
        })
    }

    fn differences(status: u16, media_type: &str, body: &str) -> Vec<String> {
        let seen = Seen::of("GET", "/api/user/users/42/", status, media_type, body).unwrap();
        Described::new(&document()).differences(&[seen]).into_iter().collect()
    }

    #[test]
    fn an_answer_as_described_passes() {
        assert!(differences(200, "application/json", r#"{"id":"42"}"#).is_empty());
        assert!(differences(404, "application/json", "{}").is_empty());
        assert!(differences(304, "", "").is_empty());
    }

    #[test]
    fn status_media_type_and_shape_are_held_to_the_document() {
        let said = |status, media_type, body| differences(status, media_type, body).join(" ");
        assert!(said(409, "application/json", "{}").contains("not in the document"));
        assert!(said(200, "text/plain", "x").contains("undescribed media type"));
        assert!(said(200, "application/json", "x").contains("not JSON"));
        assert!(said(200, "application/json", r#"{"id":42}"#).contains("at `/id`"));
        assert!(said(304, "application/json", "{}").contains("a body where none"));
    }

    #[test]
    fn what_the_edge_never_answers_is_found() {
        let document = document();
        let seen = Seen::of("GET", "/healthz", 200, "", "").unwrap();
        let unseen = Described::new(&document).unseen(&[seen]);
        assert_eq!(
            unseen.into_iter().collect::<Vec<_>>(),
            ["GET /healthz 503: described, and no test has seen it"]
        );
    }
}
