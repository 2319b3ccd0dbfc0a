// The provider's few pages: plain HTML forms that a browser and a raw client can both fill in.
const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const page = (title, body) => `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title></head>
<body><h1>${escaped(title)}</h1>
${body}
</body></html>
`;

export const login = (action, hint, problem) => page('Sign in', `${problem ? `<p role="alert">${escaped(problem)}</p>` : ''}
<form id="login" method="post" action="${escaped(action)}">
<label>User name <input name="username" autocomplete="off" value="${escaped(hint ?? '')}"></label>
<button type="submit">Sign in</button>
</form>
<form id="deny" method="post" action="${escaped(action)}">
<input type="hidden" name="deny" value="yes">
<button type="submit">Cancel</button>
</form>`);

// `form` is the library's own; browsers send it at once, a raw client presses the button.
export const logout = (form, endsSession) => page('Signing out', `${form.replace('</form>', `
${endsSession ? '<input type="hidden" name="logout" value="yes">' : ''}
<button type="submit">Sign out</button></form>`)}
<script>document.forms[0].submit()</script>`);

export const frame = (src) => page('Frames', `<iframe src="${escaped(src)}"></iframe>`);

export const signedOut = () => page('You have been logged out', '<p>The session at the provider has ended.</p>');

export const problem = (out) => page('Request failed', `<p role="alert">${escaped(out.error)}: ${escaped(out.error_description ?? '')}</p>`);
