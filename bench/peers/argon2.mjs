// One Argon2id hash for each request, by the code that our Worker hashes with, and nothing else.

import { hash } from "argon2-alone";

export default {
  fetch() {
    return new Response(hash());
  },
};
