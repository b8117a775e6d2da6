use super::*;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[test]
fn what_is_right_is_taken() {
    let mut fields = Fields::read(r#"{"a":"é\u00e9","b":1,"c":true,"d":null,"x":[{"a":1e999}]}"#, NAMES).unwrap();
    assert_eq!(fields.text("a", 2).as_deref(), Some("éé"));
    assert_eq!(fields.number("b", &(0.0..=1.0)), Some(1.0));
    assert_eq!(fields.boolean("c"), Some(true));
    assert_eq!((fields.text("d", 1), fields.number("e", &(0.0..=1.0)), fields.boolean("f")), (None, None, None));
    assert_eq!(fields.finish(), Ok(()));
}

#[test]
fn of_two_of_a_name_the_later_counts() {
    let mut fields = Fields::read(r#"{"a":7,"\u0061":"b"}"#, NAMES).unwrap();
    assert_eq!(fields.text("a", 2).as_deref(), Some("b"));
}

#[test]
fn all_that_is_wrong_is_named() {
    let json = r#"{"a":"ééé","b":1.5,"c":-1e999,"d":"yes","e":[],"f":"0.5"}"#;
    let mut fields = Fields::read(json, NAMES).unwrap();
    assert!(fields.text("a", 2).is_none() && fields.number("b", &(0.0..=1.0)).is_none());
    assert!(fields.number("c", &(0.0..=1.0)).is_none() && fields.boolean("d").is_none());
    assert!(fields.text("e", 2).is_none() && fields.number("f", &(0.0..=1.0)).is_none());
    let Err(ApiError::Validation(problems)) = fields.finish() else {
        panic!("nothing was wrong");
    };
    let found: Vec<_> = problems.iter().map(|problem| (&problem.loc[1], problem.kind)).collect();
    let kinds = ["string_too_long", "less_than_equal", "greater_than_equal", "bool_type", "string_type", "float_type"];
    let expected: Vec<_> = NAMES.map(Location::Name).into_iter().zip(kinds).collect();
    assert_eq!(found, expected.iter().map(|(name, kind)| (name, *kind)).collect::<Vec<_>>());
}

#[test]
fn a_body_that_is_no_object_says_so_and_repeats_nothing() {
    for (json, kind) in [
        ("", "json_invalid"),
        ("{", "json_invalid"),
        (r#"{"a":1}}"#, "json_invalid"),
        (r#"{"a":1,}"#, "json_invalid"),
        (r#"{"a":'secret'}"#, "json_invalid"),
        ("[1]", "model_attributes_type"),
        (r#""secret""#, "model_attributes_type"),
        ("null", "model_attributes_type"),
    ] {
        let Err(ApiError::Validation(problems)) = Fields::read(json, NAMES) else { panic!("{json} was taken") };
        assert_eq!(problems[0].kind, kind, "{json}");
        assert!(!problems[0].msg.contains("secret"), "{}", problems[0].msg);
    }
}

#[test]
fn who_calls_a_field_as_other_servers_do_is_told_its_name() {
    let missing = |json| match Fields::read(json, ["text"]).unwrap().missing("text") {
        ApiError::Validation(problems) => problems[0].msg.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(r#"{"inputs":"a"}"#), r#"Field required: it is called "text" here, not "inputs""#);
    assert_eq!(missing(r#"{"txt":"a"}"#), "Field required");
}

#[test]
fn a_string_of_half_a_pair_is_no_text() {
    let mut fields = Fields::read(r#"{"a":"\ud83d","b":"\ud83d\ude00"}"#, NAMES).unwrap();
    assert!(fields.text("a", 9).is_none());
    assert_eq!(fields.text("b", 9).as_deref(), Some("😀"));
    assert_eq!(fields.problems[0].kind, "string_unicode");
}
