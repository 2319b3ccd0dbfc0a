// The calls of headscale-admin; see ../../README.md. Its settings are in the browser's storage, each as JSON.
const view = document.getElementById('view');
const toast = (text) => { document.getElementById('toast').textContent = text; };
const setting = (name, otherwise) => JSON.parse(localStorage.getItem(name) ?? 'null') ?? otherwise;
const keep = (name, value) => localStorage.setItem(name, JSON.stringify(value));

async function call(path, init = {}) {
  const headers = { Authorization: `Bearer ${setting('apiKey', '')}`, Accept: 'application/json' };
  const response = await fetch(new URL(path, setting('apiUrl', '')).href, { headers, ...init });
  const text = await response.text();
  if (!response.ok && text === 'Unauthorized') throw new Error('API Key is Unauthorized or Invalid');
  let data;
  try {
    data = JSON.parse(text);
  } catch {
    throw new Error(`Unspecified Error: ${text}`);
  }
  // An error of Headscale has a code; anything else is shown as it came.
  if (data.code !== undefined) throw new Error(data.message);
  if (!response.ok) throw new Error(`Unspecified Error: ${text}`);
  if (setting('authorized', null) === null) keep('authorized', true);
  return data;
}

const post = (path, data = {}) => call(path, { method: 'POST', body: JSON.stringify(data) });

// Which key it is: its prefix, which is in the list, begins the one that was typed in.
async function keyInfo() {
  const { apiKeys } = await call('/api/v1/apikey');
  const mine = apiKeys.find(({ prefix }) => setting('apiKey', '').startsWith(prefix));
  keep('expires', mine?.expiration ?? '');
}

async function everything() {
  const users = call('/api/v1/user');
  const nodes = call('/api/v1/node');
  const keys = call('/api/v1/user').then(({ users }) => Promise.all(users.map(({ id }) => call(`/api/v1/preauthkey?user=${id}`))));
  const results = await Promise.allSettled([users, nodes, keys, keyInfo()]);
  for (const { reason } of results) if (reason) toast(reason.message);
  return { users: await users.catch(() => ({ users: [] })), nodes: await nodes.catch(() => ({ nodes: [] })) };
}

function add(kind, text, press) {
  const element = document.createElement(kind);
  element.textContent = text;
  if (press) element.onclick = press;
  view.append(element);
  return element;
}

async function change(path) {
  try {
    await post(path);
    location.reload();
  } catch (refused) {
    toast(refused.message);
  }
}

async function nodes() {
  const { nodes } = await everything();
  add('h1', 'Nodes');
  for (const { id, givenName, expiry } of nodes.nodes) {
    add('h2', `${id}: ${givenName}`);
    add('p', `Expires: ${expiry ?? 'never'}`);
    const name = Object.assign(add('input', ''), { name: `name-${id}`, value: givenName });
    add('button', `Rename ${givenName}`, () => change(`/api/v1/node/${id}/rename/${name.value}`));
    add('button', `Expire ${givenName}`, () => change(`/api/v1/node/${id}/expire`));
    // Why it is refused is kept to itself.
    add('button', `Delete ${givenName}`, () => call(`/api/v1/node/${id}`, { method: 'DELETE' }).then(
      () => toast(`Deleted machine "${givenName}" (${id})`),
      () => toast(`Failed to Delete "${givenName}" (${id})`),
    ));
  }
}

async function users() {
  const { users } = await everything();
  add('h1', 'Users');
  const name = Object.assign(add('input', ''), { placeholder: 'New Username...' });
  add('button', 'Create user', () => post('/api/v1/user', { name: name.value }).then(
    () => toast(`Created user "${name.value}"`),
    (refused) => toast(`Failed to create user "${name.value}": ${refused.message}`),
  ));
  for (const { id, name } of users.users) {
    add('h2', `${id}: ${name}`);
    add('button', `Create key ${id}`, async () => {
      const expiration = new Date(Date.now() + 3600_000).toISOString();
      const asked = { user: id, reusable: false, ephemeral: false, expiration };
      const { preAuthKey } = await post('/api/v1/preauthkey', asked).catch(() => ({}));
      if (preAuthKey) add('code', preAuthKey.key.substring(0, 8));
    });
  }
}

async function settings() {
  add('h1', 'Settings');
  const fields = [['apiUrl', 'API URL'], ['apiKey', 'API Key']].map(([name, label]) => {
    return Object.assign(add('input', ''), { name, ariaLabel: label, value: setting(name, '') });
  });
  const state = add('output', '');
  add('button', 'Save Settings', async () => {
    const [url, key] = fields.map(({ value }) => value);
    keep('apiUrl', url || location.origin);
    keep('apiKey', key);
    localStorage.removeItem('authorized');
    await keyInfo().catch((refused) => toast(refused.message));
    state.textContent = setting('authorized', null) ? 'Authorized' : 'Not Authorized';
  });
}

// Without settings that worked once, every page leads to them.
if (document.body.dataset.page !== 'settings' && setting('authorized', null) !== true) location.replace('/admin/settings/');
else await { home: nodes, nodes, users, settings }[document.body.dataset.page]();
