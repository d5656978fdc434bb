<?php
/*
 * The contact form, rendered by a server, with its session token: it works without JavaScript.
 * After the post the relay sends the visitor back here, with ?relay=sent, queued or error, and why.
 * Where there is JavaScript, contact-form.js shows the outcome in place.
 *
 * To look at it:  php -S 127.0.0.1:8080 -t examples   and open /contact-form.php
 *
 * Yours to change: the three constants. The relay's settings need this page's origin in `origins`,
 * the office in `recipients`, and this page's address: return_to = { contact = "https://..." }.
 * A secret key in the environment variable RELAY_KEY spares this server the limit on tokens per
 * address; it never gets into the page.
 */
const RELAY = 'https://relay.example.gov';
const KEY = 'PUBLISHABLE-KEY';
const OFFICE = 'desk@example.gov';

/** Ask the relay for a session token; 0 where none can be had. */
function session_token(): int
{
    $options = [
        'method' => 'POST',
        'header' => 'Authorization: token ' . (getenv('RELAY_KEY') ?: KEY),
        'timeout' => 5,
    ];
    $context = stream_context_create(['http' => $options]);
    $answer = @file_get_contents(RELAY . '/rest/email_token/create', false, $context);
    return (int) (json_decode($answer ?: '{}')->token_session ?? 0);
}

$token = session_token();
[$kind, $words] = match ($_GET['relay'] ?? null) {
    'sent' => ['success', 'Thank you. Your message was sent.'],
    'queued' => ['success', 'Thank you. Your message will be sent soon.'],
    'error' => ['error', 'Your message was not taken. ' . match ($_GET['relay_reason'] ?? null) {
        'address' => 'Please go back and check your email address.',
        'field' => 'Please go back and check what you wrote.',
        'file' => 'Please go back and choose another file.',
        'too_large' => 'It is too large. Please go back and shorten it, or choose smaller files.',
        'token' => 'This page stood open too long. Please fill in the form below once more.',
        'verification' => 'It could not be checked that you are a person. Please try again.',
        'too_many', 'unavailable' => 'Please go back and try again in some minutes.',
        default => 'Please write to ' . OFFICE . '.',
    }],
    default => ['', ''],
};
// As the relay writes one, or nothing: the address of this page is anybody's to write.
$reference = (string) ($_GET['relay_reference'] ?? '');
if ($kind === 'success' && preg_match('/^[A-Z0-9-]{5,20}$/D', $reference)) {
    $words .= " Its reference is $reference.";
}
if (!$token && !$words) {
    http_response_code(503);
    [$kind, $words] = ['error', 'We cannot take messages right now. Please try again later, '
        . 'or write to ' . OFFICE . '.'];
}
// Each visitor needs a token of their own; "no-store" would cost them their words on going back.
header('Cache-Control: private, no-cache');
?>
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Contact us</title>
  <link rel="stylesheet" href="contact-form.css">
</head>
<body>
<main>
  <h1>Contact us</h1>
  <p>Tell us what we should know. We answer by email.</p>
  <p class="notice <?= $kind ?>" id="notice" tabindex="-1"<?= $words ? '' : ' hidden' ?>>
    <?= $words ?></p>
<?php if ($token): ?>

  <form id="contact-form" method="post" enctype="multipart/form-data"
        action="<?= RELAY ?>/rest/email_session/contactform">
    <input type="hidden" name="key" value="<?= KEY ?>">
    <input type="hidden" name="return_to" value="contact">
    <input type="hidden" name="email[to_address]" value="<?= OFFICE ?>">
    <!-- "off": or Firefox puts the old token back when the page is reloaded. -->
    <input type="hidden" name="email[token_session]" value="<?= $token ?>" autocomplete="off">

    <label for="name">Your name</label>
    <input id="name" name="email[name]" autocomplete="name" maxlength="200" required>

    <label for="from">Your email address</label>
    <input id="from" name="email[from_address]" type="email" autocomplete="email" maxlength="255"
           required>

    <label for="phone">Your phone number <span>(optional)</span></label>
    <input id="phone" name="email[phone]" type="tel" autocomplete="tel" maxlength="100">

    <label for="subject">Subject</label>
    <input id="subject" name="email[subject]" maxlength="200" required>

    <label for="message">Your message</label>
    <textarea id="message" name="email[message]" rows="8" required></textarea>

    <!-- Leave this out where the relay's server has no `attachments`. -->
    <label for="files">Files <span>(optional)</span></label>
    <input id="files" name="email[attachments]" type="file" multiple>

    <!-- People do not see this field; whoever fills it in is a robot. -->
    <div class="unseen" aria-hidden="true">
      <label for="contact">Leave this empty</label>
      <input id="contact" name="email[contact]" tabindex="-1" autocomplete="off">
    </div>

    <p id="sending" hidden>
      <label for="progress">Sending your files</label>
      <progress id="progress" max="1"></progress>
    </p>
    <button autocomplete="off">Send</button>
  </form>
  <script src="contact-form.js"></script>
<?php endif ?>
</main>
</body>
</html>
