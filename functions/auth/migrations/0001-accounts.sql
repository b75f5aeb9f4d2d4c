-- People who registered. Without a password they sign in with codes. state_at: the time of the event that set the state, so that an
-- older event that comes later changes nothing.
CREATE TABLE IF NOT EXISTS auth_accounts (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state_at DATETIME(3) NOT NULL,
  password_hash VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL,
  password_at DATETIME(3) NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, user_id)
) ENGINE = InnoDB;

-- What an account is found by: the blind index of the normalised address or number. The contact itself is sealed.
CREATE TABLE IF NOT EXISTS auth_contacts (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  contact_index VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  kind VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  sealed_contact VARCHAR(4096) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  verified_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, contact_index),
  KEY auth_contacts_user (tenant_id, user_id)
) ENGINE = InnoDB;

-- The newest code of a contact and purpose; used up, it is deleted.
CREATE TABLE IF NOT EXISTS auth_codes (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  purpose VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  contact_index VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  code_hash VARCHAR(96) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  tries INT NOT NULL DEFAULT 0,
  created_at DATETIME(3) NOT NULL,
  expires_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, purpose, contact_index),
  KEY auth_codes_expiry (expires_at)
) ENGINE = InnoDB;

-- Counters against guessing and flooding. `counter` is `<what>:<index>`: the index of a contact (whether an account has it or not) or of an address.
CREATE TABLE IF NOT EXISTS auth_counters (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  counter VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  amount INT NOT NULL,
  window_ends_at DATETIME(3) NOT NULL,
  blocked_until DATETIME(3) NULL,
  PRIMARY KEY (tenant_id, counter),
  KEY auth_counters_window (window_ends_at)
) ENGINE = InnoDB;

-- A session is what tokens carry as `sid`. One that another application began (OpenID Connect) names its client.
CREATE TABLE IF NOT EXISTS auth_sessions (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  session_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  client_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  user_agent VARCHAR(200) CHARACTER SET utf8mb4 NOT NULL,
  created_at DATETIME(3) NOT NULL,
  used_at DATETIME(3) NOT NULL,
  expires_at DATETIME(3) NOT NULL,
  revoked_at DATETIME(3) NULL,
  reason VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  PRIMARY KEY (tenant_id, session_id),
  KEY auth_sessions_user (tenant_id, user_id, revoked_at),
  KEY auth_sessions_expiry (expires_at),
  KEY auth_sessions_revoked (revoked_at)
) ENGINE = InnoDB;

-- The family of a session: each token is used once. Used ones stay as long as the session may live, so that their second use is noticed.
CREATE TABLE IF NOT EXISTS auth_refresh_tokens (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  token_hash CHAR(43) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  session_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at DATETIME(3) NOT NULL,
  expires_at DATETIME(3) NOT NULL,
  used_at DATETIME(3) NULL,
  PRIMARY KEY (tenant_id, token_hash),
  KEY auth_refresh_tokens_session (tenant_id, session_id),
  KEY auth_refresh_tokens_expiry (expires_at)
) ENGINE = InnoDB;

-- Keys that access tokens are signed with: of the platform, not of a tenant. Shown from published_at, the newest with signs_at in the
-- past signs, and one that has a successor is shown until hidden_at, when its last token is dead.
CREATE TABLE IF NOT EXISTS auth_signing_keys (
  key_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  algorithm VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  public_jwk VARCHAR(1024) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  sealed_private_jwk VARCHAR(4096) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  published_at DATETIME(3) NOT NULL,
  signs_at DATETIME(3) NOT NULL,
  hidden_at DATETIME(3) NULL,
  PRIMARY KEY (key_id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS auth_outbox (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  partition_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  type VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  event MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  failed_at DATETIME(3) NULL,
  failure VARCHAR(1000) CHARACTER SET utf8mb4 NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS auth_inbox (
  source VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  received_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (source, id),
  KEY auth_inbox_received (received_at)
) ENGINE = InnoDB;

-- Who makes a key locks this row: two processes must not make two.
CREATE TABLE IF NOT EXISTS auth_signing_guard (
  guard VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY
) ENGINE = InnoDB;
INSERT IGNORE INTO auth_signing_guard (guard) VALUES ('keys');
