-- Applications that sign people in here, or call as themselves. secret_hash: SHA-256 of a random secret; NULL: a public client.
CREATE TABLE IF NOT EXISTS auth_clients (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  client_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(100) CHARACTER SET utf8mb4 NOT NULL,
  secret_hash CHAR(43) CHARACTER SET ascii COLLATE ascii_bin NULL,
  settings TEXT CHARACTER SET utf8mb4 NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, client_id)
) ENGINE = InnoDB;

-- What the OpenID Connect provider remembers: grants, codes, tokens, browser sessions, pages in progress. record_hash: SHA-256 of the
-- id, which for a token is the token itself. The payload is sealed.
CREATE TABLE IF NOT EXISTS auth_oidc_records (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  model VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  record_hash CHAR(43) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payload MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  grant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  uid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  account_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  consumed_at DATETIME(3) NULL,
  expires_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, model, record_hash),
  KEY auth_oidc_records_grant (tenant_id, grant_id),
  KEY auth_oidc_records_uid (tenant_id, uid),
  KEY auth_oidc_records_account (tenant_id, account_id, model),
  KEY auth_oidc_records_expiry (expires_at)
) ENGINE = InnoDB;

-- Applications that must still be told that a session ended (back-channel logout). sid: what their ID token called it.
CREATE TABLE IF NOT EXISTS auth_logout_notices (
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  notice_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  client_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  sid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  attempts INT NOT NULL DEFAULT 0,
  next_attempt_at DATETIME(3) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (tenant_id, notice_id),
  KEY auth_logout_notices_due (next_attempt_at)
) ENGINE = InnoDB;
