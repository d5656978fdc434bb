<?php
/*
 * Sends one mail through Relay from a server-side application, with a secret key.
 *
 *   RELAY_URL=http://127.0.0.1:8025 RELAY_KEY=... php send.php
 *
 * Prints what the relay says; the exit code is 0 where it took the mail, otherwise 1.
 */
$fields = [
    'to_address' => 'desk@example.gov',
    'from_address' => 'resident@example.com',
    'name' => 'A Resident',
    'subject' => 'I have a great idea',
    'message' => "Make the roads green.\nAll of them.",
    'url' => 'https://www.example.gov/ideas',
];

$context = stream_context_create(['http' => [
    'method' => 'POST',
    'header' => [
        'Authorization: token ' . getenv('RELAY_KEY'),
        'Content-Type: application/x-www-form-urlencoded',
    ],
    'content' => http_build_query(['email' => $fields]),
    'timeout' => 30,
    'follow_location' => 0,
    'ignore_errors' => true, // a refusal has words too
]]);
$reply = @fopen(getenv('RELAY_URL') . '/rest/email/contactform', 'r', false, $context);
if (!$reply) {
    fwrite(STDERR, "no answer from the relay\n");
    exit(1);
}
[$status_line] = stream_get_meta_data($reply)['wrapper_data'];
$status = (int) explode(' ', $status_line)[1];
$answer = json_decode(stream_get_contents($reply), true);
$words = $answer['response'] ?? 'no words';
if ($status !== 200) {
    fwrite(STDERR, "refused with $status: $words\n");
    exit(1);
}
echo "$words\n";
