/** The sign-in page: whoever may type a name is that person. */
export function page(action, client) {
  const shown = String(client).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
  return `<!doctype html><title>Sign in</title><form method="post" action="${action}">
<p>${shown} asks who you are.</p><label>Name <input name="login" autofocus></label><button>Sign in</button></form>`;
}
