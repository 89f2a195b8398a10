// A short MCP conversation with a server on stdin and stdout, for the checks of what is packaged.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const PATIENCE_MS = 60_000;

/** Starts `command`, asks who it is and what tools it has, runs one statement, and ends it by closing its input. */
export async function converse(command, args, options = {}) {
  const child = spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'inherit'] });
  const late = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve({ code, signal }));
  });
  ended.catch(() => {});
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let id = 0;
  const send = (message) => child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  const ask = async (method, params) => {
    send({ id: ++id, method, params });
    for (;;) {
      const { value, done } = await answers.next();
      if (done) throw new Error(`${command} ended before it answered ${method}`);
      const answer = JSON.parse(value);
      if (answer.id !== id) continue;
      if (answer.error) throw new Error(`${method}: ${answer.error.message}`);
      return answer.result;
    }
  };
  const clientInfo = { name: 'packaging check', version: '1' };
  const server = await ask('initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo });
  send({ method: 'notifications/initialized' });
  const { tools } = await ask('tools/list', {});
  const query = { name: 'async_execute_query', arguments: { sql: 'select count(*) as regions from regions' } };
  const answer = await ask('tools/call', query);
  child.stdin.end();
  const end = await ended;
  clearTimeout(late);
  return { server: server.serverInfo, tools: tools.map((tool) => tool.name), answer: answer.structuredContent, end };
}
