INSERT INTO sessions (owner, id, title, titled, pinned, created_at, updated_at, deleted_at, head, settings) VALUES
  ('local', 's1', 'Green tea', true, true, 100.5, 200.25, NULL, 9, '{"model": "echo/echo"}'),
  ('local', 's2', 'Gone', false, false, 50, 60, 70, 1, '{}');
INSERT INTO messages (owner, session_id, id, parent_id, position, role, text, reasoning, selected, cmd_id, run, model, params, usage, timings, finish_reason, error, at) VALUES
  ('local', 's1', 'u1', NULL, 0, 'user', 'Which tea?', NULL, true, 'c1', 'a1', NULL, NULL, NULL, NULL, NULL, NULL, 100.5),
  ('local', 's1', 'a1', 'u1', 1, 'ai', 'Grüner Tee.', 'Hm.', false, NULL, NULL, 'echo/echo', '{"temperature": 0.7, "seed": 7}', '{"prompt_tokens": 3, "completion_tokens": 2}', '{"ttft_ms": 12.5}', 'stop', NULL, 101),
  ('local', 's1', 'a2', 'u1', 2, 'ai', 'Black tea.', NULL, true, NULL, NULL, 'echo/echo', NULL, NULL, NULL, NULL, '{"code": "backend_error", "message": "It fell over."}', 102),
  ('local', 's1', 'a3', 'a2', 3, 'ai', '', NULL, true, NULL, NULL, 'echo/echo', NULL, NULL, NULL, NULL, NULL, 103),
  ('local', 's2', 'u1', NULL, 0, 'user', 'Coffee?', NULL, true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 50);
INSERT INTO queue (owner, session_id, position, prompt) VALUES
  ('local', 's1', 0, '{"id": "q1", "message": "And milk?"}');
INSERT INTO runs (owner, session_id, id, request, attempts) VALUES
  ('local', 's1', 'a3', '{"model": "echo/echo"}', 2);
INSERT INTO pieces (owner, session_id, run, number, channel, text, token_ids) VALUES
  ('local', 's1', 'a3', 0, 'content', 'Wi', '[1, 2]'),
  ('local', 's1', 'a3', 1, 'content', 'th', '[3]');
INSERT INTO entries (owner, session_id, message_id, words) VALUES
  ('local', 's1', '', words('¶green ¶tea')),
  ('local', 's1', 'u1', words('which tea')),
  ('local', 's1', 'a1', words('gruner tee')),
  ('local', 's1', 'a2', words('black tea')),
  ('local', 's2', '', words('¶gone')),
  ('local', 's2', 'u1', words('coffee'));
