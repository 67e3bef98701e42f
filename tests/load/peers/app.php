<?php
// SPDX-License-Identifier: MIT
// The two endpoints under php-fpm, with opcache. The connection outlives the
// request, and so does the statement that is prepared on it: cheaper than
// PDO's ways, each of which has the server parse for every request.
const HEALTH = [
    'status' => 'healthy', 'version' => '0.1.0', 'uptime_seconds' => 0,
    'active_debates' => 0, 'websocket_connections' => 0,
    'database' => 'connected', 'redis' => 'not_configured', 'schema' => 10,
    'schema_range' => ['min' => 10, 'max' => 10], 'timestamp' => '',
];

function answer(array $value, int $status = 200): void
{
    http_response_code($status);
    header('Content-Type: application/json');
    echo json_encode($value, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
}

function health(): void
{
    $now = new DateTimeImmutable('now', new DateTimeZone('UTC'));
    answer(['uptime_seconds' => $now->getTimestamp() % 100,
            'timestamp' => $now->format('Y-m-d\TH:i:s.u\Z')] + HEALTH);
}

function row(string $id): void
{
    $db = pg_pconnect(getenv('PEER_URL'));
    $found = @pg_execute($db, 'row', [$id]);
    if ($found === false) {
        pg_prepare($db, 'row',
            'SELECT id, task, status, rounds, confidence, '
            . 'consensus_reached, tags, created_at, final_answer '
            . 'FROM peer_debates WHERE id = $1');
        $found = pg_execute($db, 'row', [$id]);
    }
    $row = pg_fetch_assoc($found);
    if ($row === false) {
        answer(['error' => 'there is no such debate'], 404);
        return;
    }
    $row['rounds'] = (int)$row['rounds'];
    $row['confidence'] = (float)$row['confidence'];
    $row['consensus_reached'] = $row['consensus_reached'] === 't';
    $row['tags'] = json_decode($row['tags']);
    answer($row);
}

// "", "php", what, which
$path = explode('/', $_SERVER['PEER_PATH']);
if ($path[2] === 'health') {
    health();
} else {
    row($path[3]);
}
