// What every peer that validates has around its library: the token out of `Authorization`, and an answer like ours.

const HEADERS = { "content-type": "application/json" };

/** A Worker that answers 200 where `verify(token, env)` resolves to claims, and 401 where it throws. */
export function validating(verify) {
  return {
    async fetch(request, env) {
      try {
        const bearer = request.headers.get("authorization");
        const claims = await verify(bearer.slice("Bearer ".length), env);
        return new Response(JSON.stringify({ valid: true, user_id: claims.sub, exp: claims.exp }), {
          headers: HEADERS,
        });
      } catch (error) {
        return new Response(JSON.stringify({ valid: false, detail: String(error) }), {
          status: 401,
          headers: HEADERS,
        });
      }
    },
  };
}
