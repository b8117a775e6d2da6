use rcgen::{BasicConstraints, CertificateParams, CertifiedKey as Made, IsCa, KeyPair, generate_simple_self_signed};

use super::*;

fn made() -> (String, String) {
    let Made { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

fn authority() -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

#[test]
fn a_pair_is_used_with_the_protocols_of_its_port() {
    let (certificate, key) = made();
    let identity = Identity::parse(&certificate, &key, None).unwrap();
    let protocols = |names: &[&str]| identity.server_config(names).alpn_protocols;
    assert_eq!(protocols(&["h2", "http/1.1"]), [b"h2".to_vec(), b"http/1.1".to_vec()]);
    // Those of rcgen are good for ever.
    assert!(identity.expires() > 60_000_000_000 && !identity.has_expired());
    assert_eq!(format!("{identity:?}"), "***");
}

#[test]
fn two_are_equal_when_their_files_are() {
    let ((certificate, key), authority) = (made(), authority());
    let identity = |authority| Identity::parse(&certificate, &key, authority).unwrap();
    assert!(identity(None) == identity(None));
    assert!(identity(None) != identity(Some(&authority)));
    let (certificate, key) = made();
    assert!(identity(None) != Identity::parse(&certificate, &key, None).unwrap());
}

#[test]
fn one_that_has_expired_is_told_and_still_used() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let identity = Identity::parse(&certificate, &key.serialize_pem(), None).unwrap();
    assert_eq!((identity.expires(), identity.has_expired()), (1_577_836_800, true));
}

#[test]
fn what_can_not_be_used_is_refused_by_its_file_and_not_quoted() {
    let ((certificate, key), (other, other_key)) = (made(), made());
    let half = &certificate[..certificate.len() / 2];
    let half_key = &key[..key.len() / 2];
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: a\n\nhunter2\n-----END RSA PRIVATE KEY-----";
    let none = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let none_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let swapped = format!("{other}{certificate}");
    for (certificate, key, authorities, variable, problem) in [
        ("", &*key, None, CERTIFICATE, "holds no certificate: "),
        ("hunter2", &key, None, CERTIFICATE, "holds no certificate: "),
        (&key, &key, None, CERTIFICATE, "holds no certificate: "),
        (half, &key, None, CERTIFICATE, "is not whole in PEM: "),
        (none, &key, None, CERTIFICATE, "holds a certificate that can't be used: "),
        (&certificate, "", None, KEY, "holds no whole private key in PEM: "),
        (&certificate, &certificate, None, KEY, "holds no whole private key in PEM: "),
        (&certificate, half_key, None, KEY, "holds no whole private key in PEM: "),
        (&certificate, none_key, None, KEY, "holds a key that can't be used: give one of RSA, "),
        (&certificate, &encrypted, None, KEY, "holds a key that is encrypted, "),
        (&certificate, old, None, KEY, "holds a key that is encrypted, "),
        (&certificate, &other_key, None, KEY, "holds another key than that of the first certificate"),
        (&swapped, &key, None, KEY, "holds another key than that of the first certificate"),
        (&certificate, &key, Some("hunter2"), CLIENT_AUTHORITIES, "holds no certificate: "),
        (&certificate, &key, Some(half), CLIENT_AUTHORITIES, "is not whole in PEM: "),
        (&certificate, &key, Some(none), CLIENT_AUTHORITIES, "holds a certificate that can't be used: "),
    ] {
        let unusable = Identity::parse(certificate, key, authorities).unwrap_err();
        assert!(unusable.problem.starts_with(problem), "{unusable:?} is not {problem:?}");
        assert_eq!(unusable.variable, variable, "{problem}");
        assert!(!unusable.problem.contains("hunter2") && !unusable.problem.contains("AAAA"), "{unusable:?}");
    }
}

#[test]
fn who_follows_the_files_is_told_which_is_at_fault() {
    assert_eq!(Unusable::certificate("is blank").of_all(), "is blank");
    assert_eq!(Unusable::key("is blank").of_all(), "is not used: the file that MLOPS_TLS_KEY_FILE names is blank");
}
