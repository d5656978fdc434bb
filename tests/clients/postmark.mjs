// Does with the official Node client what an application does; prints what came of it as JSON.
import {createRequire} from "node:module";

const [modules, host, token, other, accountToken] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const postmark = require("postmark");
// The line of the docs, with this host and token.
const client = LINE;

const mail = {From: "shop@example.gov", To: "ann@example.com", Subject: "Hi", TextBody: "Hello"};
const filled = {From: mail.From, To: mail.To, TemplateModel: {name: "Ann"}};
const done = {};

async function failure(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return {name: error.name, code: error.code, statusCode: error.statusCode};
  }
}

const made = await client.createTemplate({
  Name: "Welcome", Alias: "welcome", Subject: "Welcome {{name}}", TextBody: "Hello {{name}}",
});
done.single = await client.sendEmail({...mail, Metadata: {order: "12"}});
done.batch = await client.sendEmailBatch([mail, {...mail, To: "nobody"}]);
done.template = await client.sendEmailWithTemplate({...filled, TemplateId: made.TemplateId});
done.templates = await client.sendEmailBatchWithTemplates([
  {...filled, TemplateAlias: "welcome"}, {...filled, TemplateAlias: "absent"},
]);
done.edited = await client.editTemplate("welcome", {Name: "Welcomes"});
done.got = await client.getTemplate(made.TemplateId);
done.listed = await client.getTemplates();
done.checked = await client.validateTemplate({Subject: "{{a}}", TextBody: "{{#b}}", TestRenderModel: {}});
done.server = await client.getServer();
done.streams = await client.getMessageStreams();
done.found = await client.getOutboundMessages({count: 10, offset: 0, tag: ""});
done.details = await client.getOutboundMessageDetails(done.single.MessageID);
done.dump = await client.getOutboundMessageDump(done.single.MessageID);

const options = {requestHost: host, useHttps: false};
const account = new postmark.AccountClient(accountToken, options);
const servers = (await account.getServers({count: 10, offset: 0})).Servers;
const id = Object.fromEntries(servers.map((server) => [server.Name, server.ID]));
const push = {SourceServerID: id.shop, DestinationServerID: id.desk, PerformChanges: true};
done.pushed = await account.pushTemplates(push);
done.nowhere = await failure(account.pushTemplates({...push, SourceServerID: 0, DestinationServerID: 1}));
const desk = new postmark.ServerClient(other, options);
done.arrived = await desk.getTemplates();

done.deleted = await client.deleteTemplate("welcome");
done.gone = await failure(client.getTemplate("welcome"));
done.refused = await failure(client.sendEmail({...mail, To: "nobody"}));
done.stranger = await failure(new postmark.ServerClient("x".repeat(40), options).sendEmail(mail));
console.log(JSON.stringify(done));
