//! Tokens from every source, checked against keys and a signature made by other programs; see `testdata/README.md`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use registry_core::backend::BackendError;
use registry_core::clock::{Clock, Timestamp};
use registry_core::error::ErrorKind;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use secrecy::{ExposeSecret, SecretString};

use super::key::SigningKey;
use super::{Authenticator, BearerToken, TokenKind};
use crate::config::testing::write;
use crate::config::{ConfigError, Credentials, SecretSource, SnowflakeConfig, Sources, load};

const START: Timestamp = Timestamp::from_millis(1_795_219_200_000);
/// `openssl pkey -pubin -in test-only-key.pub -outform DER | openssl dgst -sha256 -binary | base64`
const FINGERPRINT: &str = "SHA256:EkMkICd/60zD/UwB9wk2KPIHNjTemy17dP/LIu9clH4=";

fn testdata(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)).unwrap()
}

fn passphrase(text: &str) -> Option<SecretString> {
    Some(SecretString::from(text))
}

fn config(credentials: Credentials) -> SnowflakeConfig {
    let sources = Sources::new()
        .with_flag("account", "myorg-acct1.privatelink")
        .with_flag("user", "Ada")
        .with_flag("password", "unused");
    SnowflakeConfig { credentials, ..load(None, &sources).unwrap() }
}

fn key_pair(key: SecretSource) -> Credentials {
    Credentials::KeyPair { key, passphrase: None }
}

fn key_value() -> SecretSource {
    SecretSource::Value(SecretString::from(testdata("test-only-key.p8")))
}

fn authenticator(credentials: Credentials) -> Authenticator {
    Authenticator::with_clock(&config(credentials), Clock::runtime(START)).unwrap()
}

fn text(token: &BearerToken) -> &str {
    token.value.expose_secret()
}

fn claims(token: &BearerToken) -> serde_json::Value {
    let claims = text(token).split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

fn problem(file: &str, with: Option<SecretString>) -> &'static str {
    match SigningKey::read(&testdata(file), with.as_ref()) {
        Ok(_) => panic!("{file} was taken"),
        Err(problem) => problem,
    }
}

#[tokio::test(start_paused = true)]
async fn a_signed_token_equals_the_one_that_another_program_signs() {
    let token = authenticator(key_pair(key_value())).token().await.unwrap();
    assert_eq!(token.kind, TokenKind::KeypairJwt);
    assert_eq!(text(&token), testdata("test-only-token.jwt").trim());
}

#[tokio::test(start_paused = true)]
async fn a_signed_token_names_account_user_and_key_and_lasts_under_an_hour() {
    let token = authenticator(key_pair(key_value())).token().await.unwrap();
    let claims = claims(&token);
    assert_eq!(claims["iss"], format!("MYORG-ACCT1.ADA.{FINGERPRINT}"));
    assert_eq!(claims["sub"], "MYORG-ACCT1.ADA");
    let (issued, expires) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    let now = START.as_millis() / 1000;
    assert!(issued <= now && now + 58 * 60 <= expires && expires - issued < 3600, "{claims}");
}

#[tokio::test(start_paused = true)]
async fn the_signature_stands_the_test_with_the_public_key() {
    let token = authenticator(key_pair(key_value())).token().await.unwrap();
    let (message, signature) = text(&token).rsplit_once('.').unwrap();
    let pem: String = testdata("test-only-key.pub").lines().filter(|line| !line.starts_with('-')).collect();
    let spki = STANDARD.decode(pem).unwrap();
    // The key proper follows the fixed 24 bytes of algorithm and headers.
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &spki[24..]);
    public.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
}

#[test]
fn keys_are_read_in_every_encryption_and_armour_that_openssl_writes() {
    let secret = passphrase("test-only");
    for file in ["test-only-key-aes256.p8", "test-only-key-des3-sha1.p8", "test-only-key-scrypt.p8"] {
        let key = SigningKey::read(&testdata(file), secret.as_ref());
        assert_eq!(key.unwrap_or_else(|error| panic!("{file}: {error}")).fingerprint(), FINGERPRINT);
    }
    let plain = testdata("test-only-key.p8");
    let body: String = plain.lines().filter(|line| !line.starts_with('-')).collect();
    let forms = [
        plain.replace('\n', "\\n"),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', " "),
        format!("a comment\n{plain}\nanother"),
        body.trim_end_matches('=').to_owned(),
        body,
        STANDARD.encode(&plain),
    ];
    for form in forms {
        let key = SigningKey::read(&form, secret.as_ref());
        assert_eq!(key.unwrap_or_else(|error| panic!("{form}: {error}")).fingerprint(), FINGERPRINT);
    }
    let encrypted: String =
        testdata("test-only-key-aes256.p8").lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(SigningKey::read(&encrypted, secret.as_ref()).ok().unwrap().fingerprint(), FINGERPRINT);
}

#[test]
fn a_key_that_does_not_serve_is_refused_with_what_to_do() {
    let cases = [
        ("test-only-key-aes256.p8", None, "set private_key_file_pwd"),
        ("test-only-key-aes256.p8", passphrase("wrong"), "does not decrypt"),
        ("test-only-key-des3-sha1.p8", passphrase("wrong"), "does not decrypt"),
        ("test-only-key-pbes1.p8", passphrase("test-only"), "openssl pkcs8 -topk8 -v2 aes256"),
        ("test-only-key-pkcs1.pem", None, "openssl pkcs8 -topk8 -in OLD"),
        ("test-only-key-pkcs1-encrypted.pem", None, "openssl pkcs8 -topk8 -in OLD"),
        ("test-only-ec.p8", None, "no RSA key"),
        ("test-only-1024.p8", None, "2048 to 4096 bits"),
        ("test-only-key.pub", None, "the public key"),
        ("README.md", None, "-----BEGIN PRIVATE KEY-----"),
    ];
    for (file, with, expected) in cases {
        let problem = problem(file, with);
        assert!(problem.contains(expected), "{file}: {problem}");
    }
}

#[test]
fn no_text_whatever_is_a_panic() {
    let plain = testdata("test-only-key.p8");
    for length in 0..plain.trim_end().len() {
        assert!(SigningKey::read(&plain[..length], None).is_err(), "{length}");
    }
    let hostile = [
        "",
        "-----BEGIN ",
        "-----BEGIN X-----",
        "-----BEGIN PRIVATE KEY----------END ",
        "====",
        "AAAA",
        "MAA=",
    ];
    for text in hostile {
        assert!(SigningKey::read(text, passphrase("x").as_ref()).is_err(), "{text}");
    }
    let nested = (0..3).fold("-----BEGIN PRIVATE KEY-----".to_owned(), |text, _| STANDARD.encode(text));
    assert!(SigningKey::read(&nested, None).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_signed_token_is_renewed_before_its_hour_is_over() {
    let authenticator = authenticator(key_pair(key_value()));
    let first = authenticator.token().await.unwrap();
    tokio::time::advance(Duration::from_secs(49 * 60)).await;
    assert_eq!(text(&authenticator.token().await.unwrap()), text(&first));
    tokio::time::advance(Duration::from_secs(61)).await;
    let second = authenticator.token().await.unwrap();
    assert_eq!(
        claims(&second)["iat"].as_i64().unwrap() - claims(&first)["iat"].as_i64().unwrap(),
        50 * 60 + 1
    );
    assert_ne!(second.generation, first.generation);
}

#[tokio::test(start_paused = true)]
async fn a_learned_clock_skew_moves_the_next_token_and_no_absurd_one_is_believed() {
    let authenticator = authenticator(key_pair(key_value()));
    let first = authenticator.token().await.unwrap();
    let issued = |token: &BearerToken| claims(token)["iat"].as_i64().unwrap();
    for (skew, seconds) in [(-120_000, -120), (90_500, 90), (i64::MAX, 24 * 3600), (i64::MIN, -24 * 3600)] {
        authenticator.set_clock_skew(skew);
        authenticator.rejected(&authenticator.token().await.unwrap()).await;
        assert_eq!(issued(&authenticator.token().await.unwrap()) - issued(&first), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_replaced_already_can_be_rejected_without_effect() {
    let authenticator = authenticator(key_pair(key_value()));
    let first = authenticator.token().await.unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    for _ in 0..3 {
        authenticator.rejected(&first).await;
    }
    let second = authenticator.token().await.unwrap();
    assert_eq!(second.generation, first.generation + 1);
    assert_ne!(text(&second), text(&first));
    authenticator.rejected(&first).await;
    assert_eq!(text(&authenticator.token().await.unwrap()), text(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_at_the_same_time_share_one_token() {
    let authenticator = Arc::new(authenticator(key_pair(key_value())));
    // One place, which one caller fills while the others wait for it.
    assert!(Arc::ptr_eq(&authenticator.current().1, &authenticator.current().1));
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let authenticator = Arc::clone(&authenticator);
            tokio::spawn(async move { authenticator.token().await.unwrap() })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().generation, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_file_is_read_again_after_a_rejection_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "token", "one\n", 0o600);
    let authenticator = authenticator(Credentials::OAuth(SecretSource::File(path)));
    let first = authenticator.token().await.unwrap();
    assert_eq!((first.kind, text(&first)), (TokenKind::OAuth, "one"));

    write(directory.path(), "token", "two\n", 0o600);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(text(&authenticator.token().await.unwrap()), "one");
    authenticator.rejected(&first).await;
    assert_eq!(text(&authenticator.token().await.unwrap()), "two");
}

#[tokio::test(start_paused = true)]
async fn a_key_file_is_read_again_after_a_rejection() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "key", &testdata("test-only-key.p8"), 0o600);
    let authenticator = authenticator(key_pair(SecretSource::File(path)));
    let first = authenticator.token().await.unwrap();
    write(directory.path(), "key", &testdata("test-only-other-key.p8"), 0o600);
    authenticator.rejected(&first).await;
    let issuer = claims(&authenticator.token().await.unwrap())["iss"].clone();
    assert_eq!(issuer, "MYORG-ACCT1.ADA.SHA256:4Y6xwgA6mVo54k/g8fjHb5rS+oPpzlVXHZZi8PS3XzM=");
}

#[tokio::test(start_paused = true)]
async fn a_failure_to_get_a_token_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let authenticator = authenticator(Credentials::AccessToken(SecretSource::File(path.clone())));
    let error = authenticator.token().await.unwrap_err();
    assert_eq!(error.0.kind, ErrorKind::Configuration);
    assert!(error.0.message.contains(&path.display().to_string()), "{error}");
    for (content, expected) in
        [(" \n", "is empty"), ("two words", "no token"), ("ä", "no token"), ("a\nb", "no token")]
    {
        write(directory.path(), "token", content, 0o600);
        let error = authenticator.token().await.unwrap_err();
        assert!(error.0.message.contains(expected), "{content:?}: {error}");
    }
    write(directory.path(), "token", "good", 0o600);
    let token = authenticator.token().await.unwrap();
    assert_eq!((token.kind, text(&token)), (TokenKind::ProgrammaticAccessToken, "good"));
}

#[tokio::test(start_paused = true)]
async fn a_password_is_handed_out_as_such_and_never_as_a_token() {
    let authenticator = authenticator(Credentials::Password(SecretString::from("canary")));
    assert_eq!(authenticator.password().unwrap().expose_secret(), "canary");
    let BackendError(error) = authenticator.token().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
}

#[test]
fn a_key_pair_without_a_user_is_refused() {
    let config = SnowflakeConfig { user: None, ..config(key_pair(key_value())) };
    assert!(matches!(Authenticator::new(&config), Err(ConfigError::Missing { .. })));
}

#[tokio::test(start_paused = true)]
async fn nothing_prints_its_secret() {
    let secret = || SecretSource::Value(SecretString::from("canary"));
    let all = [
        Credentials::OAuth(secret()),
        Credentials::AccessToken(secret()),
        Credentials::Password(SecretString::from("canary")),
        Credentials::KeyPair { key: secret(), passphrase: passphrase("canary") },
    ];
    for credentials in all {
        let authenticator = authenticator(credentials);
        let before = format!("{authenticator:?}");
        let outcome = authenticator.token().await;
        let printed = format!("{before} {outcome:?} {authenticator:?} {authenticator:#?}");
        assert!(!printed.contains("canary"), "{printed}");
    }
    let signed = authenticator(key_pair(key_value()));
    let token = signed.token().await.unwrap();
    let printed = format!("{signed:?} {token:?}");
    assert!(!printed.contains("eyJ") && !printed.contains("MII"), "{printed}");
}

#[test]
fn the_kinds_are_spelled_as_each_protocol_wants_them() {
    assert_eq!(TokenKind::KeypairJwt.header_value(), "KEYPAIR_JWT");
    assert_eq!(TokenKind::KeypairJwt.authenticator(), "SNOWFLAKE_JWT");
    for (kind, word) in
        [(TokenKind::OAuth, "OAUTH"), (TokenKind::ProgrammaticAccessToken, "PROGRAMMATIC_ACCESS_TOKEN")]
    {
        assert_eq!((kind.header_value(), kind.authenticator()), (word, word));
    }
}
