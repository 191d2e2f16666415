const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

/** Swagger UI fills a form with its examples, and some of ours exclude each other: a field begins with its default or empty. */
function withoutExamples(description) {
  for (const path of Object.values(description.paths)) {
    const fields = path.post?.requestBody?.content?.["multipart/form-data"]?.schema?.properties ?? {};
    for (const field of Object.values(fields)) {
      delete field.examples;
      if (field.format !== "binary" && field.items?.format !== "binary") field.example = field.default ?? "";
    }
  }
  return description;
}

/** A field left empty is not sent: to the service, an empty value is a wrong one. */
function withoutEmptyFields(request) {
  if (request.body instanceof FormData) {
    for (const [name, value] of [...request.body]) if (value === "") request.body.delete(name);
  }
  return request;
}

fetch("openapi.json")
  .then((answer) => answer.json())
  .then((description) =>
    SwaggerUIBundle({
      spec: withoutExamples(description),
      dom_id: "#docs",
      deepLinking: true,
      defaultModelsExpandDepth: 0,
      displayRequestDuration: true,
      requestInterceptor: withoutEmptyFields,
      tryItOutEnabled: true,
      validatorUrl: null, // it would send the description to a public server
    }),
  );
