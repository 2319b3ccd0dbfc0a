// What the provider remembers, in this process only. Clients come from a map of our own, so that a
// test can register one after it has learnt its port.
export class Store {
  constructor() {
    this.clients = new Map();
    this.rows = new Map();
  }

  adapter() {
    const store = this;
    return class {
      constructor(model) { this.model = model; }
      key(id) { return `${this.model}:${id}`; }
      async find(id) { return this.model === 'Client' ? store.clients.get(id) : store.rows.get(this.key(id)); }
      async upsert(id, payload) { store.rows.set(this.key(id), { ...payload }); }
      async destroy(id) { store.rows.delete(this.key(id)); }
      async consume(id) { store.rows.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
      async findByUid(uid) { return store.first((row) => row.uid === uid && this.model === 'Session', 'Session'); }
      async findByUserCode() { return undefined; }
      async revokeByGrantId(grantId) {
        // Of this model only: an interaction names a grant too, and outlives it when the account changes.
        for (const [key, row] of store.rows) if (key.startsWith(`${this.model}:`) && row.grantId === grantId) store.rows.delete(key);
      }
    };
  }

  first(wanted, model) {
    for (const [key, row] of this.rows) if (key.startsWith(`${model}:`) && wanted(row)) return row;
    return undefined;
  }

  // Ends every session of one subject; returns what each client there must be told.
  endSessions(subject) {
    const ended = [];
    for (const [key, row] of this.rows) {
      if (key.startsWith('Session:') && row.accountId === subject) {
        this.rows.delete(key);
        for (const [clientId, { sid }] of Object.entries(row.authorizations ?? {})) ended.push({ clientId, sid });
      }
    }
    return ended;
  }

  // What tokens for this client call the sessions of one subject.
  sids(subject, clientId) {
    return [...this.rows]
      .filter(([key, row]) => key.startsWith('Session:') && row.accountId === subject)
      .map(([, row]) => row.authorizations?.[clientId]?.sid)
      .filter(Boolean);
  }

  // Somebody signed in so many seconds earlier than they did.
  age(subject, seconds) {
    for (const [key, row] of this.rows) if (key.startsWith('Session:') && row.accountId === subject) row.loginTs -= seconds;
  }

  // What a deactivated account loses: refresh and access tokens too.
  forget(subject) {
    for (const [key, row] of this.rows) if (row.accountId === subject) this.rows.delete(key);
  }
}
