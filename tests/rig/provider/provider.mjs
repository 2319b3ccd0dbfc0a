// A certified OpenID provider (npm oidc-provider) that looks like authentik from outside: paths,
// trailing-slash issuer, claims. It prints one JSON line when it is ready, takes JSON commands on
// stdin (see `commands` below), answers each with one line, and ends when stdin ends, so that it
// never outlives the test.
//
// PROVIDER_CONFIG (JSON): port (0: any free one), host (what the issuer names; the socket is on
// loopback), clients [..], email_verified, claims_in_id_token, refresh_tokens, grants_offline, id_token_ttl,
// logout_ends_session, acr_values (what it does when it is asked for it), amr (of every sign-in).
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider, { interactionPolicy } from 'oidc-provider';

import * as pages from './pages.mjs';
import { claimsOf, initialPeople, subjectOf } from './people.mjs';
import { Store } from './store.mjs';

const MOUNT = '/application/o';
const DISCOVERY = '/.well-known/openid-configuration';
const LOGIN = '/if/flow/default-authentication-flow/';
const FRAMES = '/frames/';
// What authentik says of every sign-in.
const ACR = 'goauthentik.io/providers/oauth2/default';
const SCOPES = ['openid', 'profile', 'email', 'offline_access'];

const settings = {
  port: 0,
  host: '127.0.0.1',
  clients: [],
  email_verified: true,
  claims_in_id_token: true,
  refresh_tokens: false,
  // Most providers grant offline_access to whom it is allowed, and ask nobody. The library drops it then.
  grants_offline: true,
  id_token_ttl: 300,
  logout_ends_session: true,
  // authentik does whatever its flow says, whichever class it is asked for.
  acr_values: [],
  amr: ['pwd'],
  ...JSON.parse(process.env.PROVIDER_CONFIG ?? '{}'),
};
const people = initialPeople();
const store = new Store();
const seen = [];
let issuer;
let provider;

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  });
});

async function answer(request, response) {
  const { pathname } = new URL(request.url, 'http://any');
  seen.push(`${request.method} ${pathname}`);
  if (pathname.startsWith(LOGIN)) return signIn(request, response);
  if (pathname === FRAMES) return frames(request, response);
  if (pathname === `${MOUNT}/headscale/ignored/`) return void response.writeHead(200).end();
  const inside = pathname === `${MOUNT}/headscale${DISCOVERY}` ? DISCOVERY : request.url.slice(MOUNT.length);
  if (!request.url.startsWith(`${MOUNT}/`)) return void response.writeHead(404).end();
  // The library works out where it is mounted from the difference of these two.
  request.originalUrl = MOUNT + inside;
  request.url = inside;
  if (settings.grants_offline) asksForConsent(request);
  return provider.callback()(request, response);
}

// Without that the library takes offline_access off what was asked for (OpenID Connect Core section 11).
function asksForConsent(request) {
  const url = new URL(request.url, 'http://any');
  const offline = url.searchParams.get('scope')?.split(' ').includes('offline_access');
  if (url.pathname !== '/authorize/' || !offline || url.searchParams.has('prompt')) return;
  url.searchParams.set('prompt', 'consent');
  request.url = url.pathname + url.search;
  request.originalUrl = MOUNT + request.url;
}

// What a provider with front-channel logout shows: a page with somebody else's in a frame.
function frames(request, response) {
  const { searchParams } = new URL(request.url, 'http://any');
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(pages.frame(searchParams.get('src')));
}

async function signIn(request, response) {
  const html = (status, text) => response.writeHead(status, { 'content-type': 'text/html; charset=utf-8' }).end(text);
  let details;
  try {
    details = await provider.interactionDetails(request, response);
  } catch (error) {
    return html(400, pages.problem(error));
  }
  const action = LOGIN + details.uid;
  // Everybody agrees.
  if (details.prompt.name === 'consent') return provider.interactionFinished(request, response, { consent: {} });
  if (request.method !== 'POST') return html(200, pages.login(action, details.params.login_hint));
  const form = new URLSearchParams(await text(request));
  if (form.has('deny')) {
    return provider.interactionFinished(request, response, { error: 'access_denied', error_description: 'the person cancelled' });
  }
  const username = form.get('username') ?? '';
  if (!people.has(username)) return html(401, pages.login(action, username, 'Nobody here has this user name.'));
  return provider.interactionFinished(request, response, {
    consent: {},
    login: { accountId: subjectOf(username), amr: settings.amr, acr: wanted(details.params)[0] ?? ACR },
  });
}

// The classes that a request asks for, and that can be had here.
function wanted({ acr_values: values }) {
  return (values ?? '').split(' ').filter((value) => settings.acr_values.includes(value));
}

// Asks again whoever signed in another way than the request wants.
function policy() {
  const { Check, base } = interactionPolicy;
  const prompts = base();
  prompts.get('login').checks.add(new Check('acr_wanted', 'another class is asked for', 'login_required', (ctx) => {
    const classes = wanted(ctx.oidc.params);
    return classes.length > 0 && !classes.includes(ctx.oidc.acr) ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT;
  }));
  return prompts;
}

async function text(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function account(subject) {
  const found = [...people].find(([username]) => subjectOf(username) === subject);
  return found && {
    accountId: subject,
    claims: async () => claimsOf(...found, settings.email_verified),
  };
}

function register(client) {
  store.clients.set(client.client_id, {
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: 'RS256',
    // The library puts `sid` into ID tokens only for clients that have such a URI, authentik always.
    backchannel_logout_uri: `${issuer}ignored/`,
    backchannel_logout_session_required: true,
    require_auth_time: true,
    ...client,
  });
}

function build() {
  // Not by `export` of the pair it returns: a collection of garbage in the midst of that can wait for
  // the lock that it holds, and Node then stands still for ever.
  const jwk = { publicKeyEncoding: { format: 'jwk' }, privateKeyEncoding: { format: 'jwk' } };
  const key = (type, options, kid, alg) => ({
    ...generateKeyPairSync(type, { ...options, ...jwk }).privateKey, kid, alg, use: 'sig',
  });
  return new Provider(issuer, {
    adapter: store.adapter(),
    jwks: {
      keys: [
        key('rsa', { modulusLength: 2048 }, 'rig-rsa', 'RS256'),
        key('ec', { namedCurve: 'P-256' }, 'rig-ec', 'ES256'),
      ],
    },
    routes: {
      authorization: '/authorize/',
      token: '/token/',
      userinfo: '/userinfo/',
      introspection: '/introspect/',
      revocation: '/revoke/',
      jwks: '/headscale/jwks/',
      end_session: '/headscale/end-session/',
    },
    scopes: SCOPES,
    claims: {
      openid: ['sub', 'sid', 'auth_time', 'amr', 'acr'],
      profile: ['name', 'given_name', 'preferred_username', 'nickname', 'groups'],
      email: ['email', 'email_verified'],
    },
    conformIdTokenClaims: !settings.claims_in_id_token,
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'HS256'] },
    features: {
      devInteractions: { enabled: false },
      // authentik has neither.
      dPoP: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      backchannelLogout: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => { ctx.body = pages.logout(form, settings.logout_ends_session); },
        postLogoutSuccessSource: (ctx) => { ctx.body = pages.signedOut(); },
      },
    },
    renderError: (ctx, out) => { ctx.type = 'html'; ctx.body = pages.problem(out); },
    findAccount: (_ctx, subject) => account(subject),
    loadExistingGrant: implicitConsent,
    issueRefreshToken: () => settings.refresh_tokens,
    rotateRefreshToken: true,
    pkce: { required: () => false },
    extraParams: ['domain_hint', 'access_type'],
    acrValues: [ACR, 'silver', 'gold'],
    interactions: { policy: policy(), url: (_ctx, { uid }) => LOGIN + uid },
    cookies: { keys: ['rig'] },
    ttl: {
      AccessToken: 3600, AuthorizationCode: 60, IdToken: settings.id_token_ttl, RefreshToken: 86400, Interaction: 600, Session: 86400, Grant: 86400,
    },
    // The library's default refuses loopback addresses; here everything is on loopback.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  });
}

async function implicitConsent(ctx) {
  const { client, session } = ctx.oidc;
  const known = session.grantIdFor(client.clientId);
  const grant = (known && await provider.Grant.find(known))
    ?? new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(SCOPES.join(' '));
  await grant.save();
  return grant;
}

async function tellClients(username) {
  const subject = subjectOf(username);
  const told = [];
  for (const { clientId, sid } of store.endSessions(subject)) {
    const client = await provider.Client.find(clientId);
    const outcome = await client.backchannelLogout(subject, sid).then(() => 'accepted', (error) => error.message);
    told.push({ client_id: clientId, outcome });
  }
  return told;
}

const commands = {
  client: ({ client }) => register(client),
  set: ({ settings: changed }) => Object.assign(settings, changed),
  person: ({ username, claims }) => people.set(username, { ...people.get(username), ...claims }),
  deactivate: ({ username }) => { people.delete(username); store.forget(subjectOf(username)); },
  age: ({ username, seconds }) => store.age(subjectOf(username), seconds),
  end_sessions: async ({ username }) => ({ told: await tellClients(username) }),
  requests: () => ({ requests: seen }),
  sids: ({ username, client_id }) => ({ sids: store.sids(subjectOf(username), client_id) }),
};

const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

server.listen(settings.port, '127.0.0.1', async () => {
  const origin = `http://${settings.host}:${server.address().port}`;
  issuer = `${origin}${MOUNT}/headscale/`;
  provider = build();
  provider.on('server_error', (_ctx, error) => console.error(error));
  provider.on('grant.error', (_ctx, error) => console.error(error.message, error.error_description, error.error_detail));
  settings.clients.forEach(register);
  print({ origin, issuer });
  // Commands one at a time, in order.
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      const command = JSON.parse(line);
      print({ ok: true, ...await commands[command.do](command) });
    } catch (error) {
      print({ ok: false, error: error.message });
    }
  }
  process.exit(0);
});
