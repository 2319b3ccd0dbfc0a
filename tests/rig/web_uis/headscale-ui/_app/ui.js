// The calls of headscale-ui; see ../../README.md. The settings are in the browser's storage: an address, which is
// put before each path and may be empty, and a key, which goes along as it is, the empty one too.
const view = document.getElementById('view');
const setting = (name) => localStorage.getItem(name) || '';

async function call(method, path, body) {
  const response = await fetch(setting('headscaleURL') + path, {
    method,
    headers: { Accept: 'application/json', Authorization: `Bearer ${setting('headscaleAPIKey')}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

const read = (path) => call('GET', path);

// A refused write is told in the words of `message`; what is no JSON makes the parser's words of it.
async function write(method, path, body) {
  try {
    await call(method, path, body);
  } catch (refused) {
    let words;
    try {
      words = JSON.parse(refused.message).message;
    } catch (unreadable) {
      words = unreadable.message;
    }
    document.getElementById('alert').textContent = words;
  }
}

function add(kind, text, press) {
  const element = document.createElement(kind);
  element.textContent = text;
  if (press) element.onclick = press;
  view.append(element);
  return element;
}

function failed() {
  view.replaceChildren();
  add('p', 'API test did not succeed.');
}

function showDevices(nodes) {
  view.replaceChildren();
  add('h1', 'Device View');
  for (const { id, givenName } of nodes) {
    add('h2', `${id}: ${givenName}`);
    const name = Object.assign(add('input', ''), { name: `name-${id}`, value: givenName });
    add('button', `Rename ${givenName}`, async () => {
      await write('POST', `/api/v1/node/${id}/rename/${name.value.toLowerCase()}`);
      await devices();
    });
    add('button', `Remove ${givenName}`, async () => {
      await write('DELETE', `/api/v1/node/${id}`);
      await devices();
    });
  }
}

async function devices() {
  // Both at once, and either's failure fails the page.
  const users = read('/api/v1/user');
  const nodes = read('/api/v1/node');
  try {
    await users;
    showDevices((await nodes).nodes);
  } catch {
    failed();
  }
}

async function users() {
  try {
    const { users } = await read('/api/v1/user');
    add('h1', 'User View');
    for (const { id, name } of users) {
      add('h2', name);
      add('button', `New key for ${name}`, async () => {
        const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
        await write('POST', '/api/v1/preauthkey', { user: id, expiration: tomorrow, reusable: false, ephemeral: false });
      });
    }
  } catch {
    failed();
  }
}

async function settings() {
  const test = async () => {
    const works = await read('/api/v1/apikey').then(() => true, () => false);
    state.textContent = works ? 'succeeded' : 'failed';
  };
  for (const [name, label] of [['headscaleURL', 'Headscale URL'], ['headscaleAPIKey', 'Headscale API Key']]) {
    const input = add('input', '');
    Object.assign(input, { name, ariaLabel: label, value: setting(name) });
    input.oninput = () => localStorage.setItem(name, input.value.replace(/\/+$/, ''));
  }
  add('button', 'Test Server Settings', test);
  const state = add('output', 'untested');
  await test();
}

const pages = { index: () => location.replace('/web/users.html'), users, devices, settings };
await pages[document.body.dataset.page]();
