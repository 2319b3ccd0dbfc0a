// Who can sign in at the rig's provider, and which claims they have: the names and shapes that
// authentik's default scope mappings send.
import { createHash } from 'node:crypto';

export const initialPeople = () => new Map(Object.entries({
  dominic: person('Dominic Admin', 'dominic@acmecorp.net', ['headscale', 'headscale-admins']),
  mia: person('Mia Member', 'mia@acmecorp.net', ['headscale']),
  olaf: person('Olaf Outsider', 'olaf@elsewhere.example', []),
}));

function person(name, email, groups) {
  return { name, email, groups };
}

// authentik's default subject mode: 64 hex digits, the same at every client.
export const subjectOf = (username) => createHash('sha256').update(`headwarden-rig-${username}`).digest('hex');

export function claimsOf(username, { name, email, groups, ...extra }, emailVerified) {
  return {
    sub: subjectOf(username),
    name,
    given_name: name,
    preferred_username: username,
    nickname: username,
    groups,
    email,
    email_verified: emailVerified,
    ...extra,
  };
}
