// Sends a bad call and a good one in turn, over the connections that Node keeps: prints the
// statuses of the bad ones and what the good ones came to, as JSON.
import {createRequire} from "node:module";

const [modules, host, token, listed] = process.argv.slice(2);
const calls = JSON.parse(listed);
const postmark = createRequire(`${modules}/`)("postmark");
const options = {requestHost: host, useHttps: false};
const client = new postmark.ServerClient(token, options);
const stranger = new postmark.ServerClient("x".repeat(40), options);

const text = "Hello ".repeat(20);
const mail = {From: "shop@example.gov", To: "ann@example.com", Subject: "Hi", TextBody: text};
const done = {refused: {}, taken: 0, failed: []};

function count(status) {
  done.refused[status] = (done.refused[status] ?? 0) + 1;
}

async function bad(number) {
  if (number % 2) {
    await stranger.sendEmail({...mail, TextBody: text.repeat(number * 50)}).then(
      () => count(200), (error) => count(error.statusCode));
  } else {
    const [method, path, headers] = calls[(number / 2) % calls.length];
    const body = number % 3 ? JSON.stringify({...mail, TextBody: text.repeat(6000)}) : "{}";
    const answer = await fetch(`http://${host}${path}`, {method, body, headers});
    await answer.text();
    count(answer.status);
  }
}

async function good(number) {
  try {
    const answer = number % 3 ? await client.sendEmail(mail) : (await (await fetch(
      `http://${host}/email`,
      {
        method: "POST",
        body: JSON.stringify(mail),
        headers: {"Content-Type": "application/json", "X-Postmark-Server-Token": token},
      },
    )).json());
    done.taken += answer.ErrorCode === 0 ? 1 : 0;
  } catch (error) {
    done.failed.push(`${error.code} ${error.message}`);
  }
}

for (let number = 0; number < 100; number += 1) {
  await bad(number);
  await good(number);
}
// And ten of each at a time: a connection that a bad call leaves behind is the next good one's.
for (let number = 0; number < 10; number += 1) {
  const ten = [...Array(10).keys()];
  await Promise.all(ten.flatMap((one) => [bad(number * 10 + one), good(number * 10 + one)]));
}
console.log(JSON.stringify(done));
