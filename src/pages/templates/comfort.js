
'use strict';
for (const code of document.querySelectorAll('[data-copy]')) {
  if (!navigator.clipboard) break;
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'copy quiet';
  button.textContent = code.dataset.copy;
  const name = `${code.dataset.copy}: ${code.textContent}`;
  button.setAttribute('aria-label', name);
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = code.dataset.copied;
    button.setAttribute('aria-label', code.dataset.copied);
    setTimeout(() => {
      button.textContent = code.dataset.copy;
      button.setAttribute('aria-label', name);
    }, 2000);
  });
  code.after(button);
}
const local = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: 'long', timeStyle: 'short' });
for (const time of document.querySelectorAll('time[data-local]')) {
  time.title = time.textContent;
  time.textContent = local.format(new Date(time.dateTime));
}
