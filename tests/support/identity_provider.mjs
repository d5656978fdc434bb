// A real identity provider on loopback. Whoever signs in as "ada.admins" is called ada and has the
// role "admins"; the password is any. GET /lie?about=keys lets it publish keys that it does not
// sign with; about=issuer, call itself otherwise; about=none or HS256, sign ID tokens not at all, or
// with the client's secret; about=, tell the truth again.
import { createHmac, generateKeyPairSync } from "node:crypto";
import { Provider } from "oidc-provider";

const [port, secret] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const key = (kind) => {
  const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...pair[kind].export({ format: "jwk" }), kid: "one", use: "sig", alg: "RS256" };
};
let lie = "";
const signed = (token, alg) => {
  const head = Buffer.from(JSON.stringify({ alg, kid: "one" })).toString("base64url");
  const text = `${head}.${token.split(".")[1]}`;
  const mac = alg === "none" ? "" : createHmac("sha256", secret).update(text).digest("base64url");
  return `${text}.${mac}`;
};

const provider = new Provider(issuer, {
  clients: [{
    client_id: "relay",
    client_secret: secret,
    application_type: "native",
    redirect_uris: ["127.0.0.1", "localhost"].map((host) => `http://${host}/sign-in/identity/callback`),
  }],
  jwks: { keys: [key("privateKey")] },
  cookies: { keys: ["only-for-tests"] },
  claims: { openid: ["sub", "roles"], profile: ["preferred_username"] },
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => {
      const [name, role] = id.split(".");
      return { sub: id, preferred_username: name, roles: role ? [role, "others"] : undefined };
    },
  }),
});

provider.use(async (context, next) => {
  if (context.path === "/lie") {
    lie = context.query.about;
    context.body = "";
    return;
  }
  await next();
  if (lie === "keys" && context.path === "/jwks") context.body = { keys: [key("publicKey")] };
  if (["none", "HS256"].includes(lie) && context.path === "/token") {
    context.body = { ...context.body, id_token: signed(context.body.id_token, lie) };
  }
  if (lie === "issuer" && context.path.startsWith("/.well-known")) {
    context.body = { ...context.body, issuer: "https://evil.example" };
  }
});

provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
