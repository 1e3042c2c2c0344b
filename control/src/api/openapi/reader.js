// Shows the document that is served beside this page, wherever that is: on a tenant's own host or under
// its prefix. A try by cookie sends the session's CSRF value along, as any page of the tenant's would.
const csrf = () => document.cookie.split("; ").find((pair) => pair.startsWith("csrftoken="))?.slice(10);

SwaggerUIBundle({
  url: new URL("../api/schema/", document.currentScript.src).href,
  dom_id: "#reader",
  deepLinking: true,
  // No third party may get the schema: Swagger UI would send its URL to validator.swagger.io.
  validatorUrl: null,
  requestInterceptor: (request) => {
    if (csrf() && request.method && request.method !== "GET") {
      request.headers["X-CSRFToken"] = csrf();
    }
    return request;
  },
});
