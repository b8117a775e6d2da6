//! The Custom Resource Definition as YAML. What is small stands on one line: the schemas of Kubernetes' own types are
//! deep, and half of the file would be the space before their lines.

use std::borrow::Cow;

/// The widest line that is made, in characters.
const WIDEST: usize = 180;

/// The same YAML with each small list and map on the line of its key.
///
/// It goes from the last line to the first, so that what is inside is small before what is around it is looked at.
#[must_use]
pub fn compact(yaml: &str) -> String {
    let mut below: Vec<String> = Vec::new();
    for line in yaml.lines().rev() {
        let (children, flow) = match flow(line, &below) {
            Some((children, flow)) if line.len() + flow.len() < WIDEST => (children, format!("{line} {flow}")),
            _ => (0, line.to_owned()),
        };
        below.truncate(below.len() - children);
        below.push(flow);
    }
    below.reverse();
    below.join("\n") + "\n"
}

/// What a key's line has below it, in a form for that line, and how many lines that is. `below` has the lines after this
/// one, the next one last.
fn flow(line: &str, below: &[String]) -> Option<(usize, String)> {
    if !line.ends_with(':') || line.trim_start().starts_with("- ") {
        return None;
    }
    let depth = indent(line);
    let is_child =
        |next: &&String| indent(next) > depth || (indent(next) == depth && next.trim_start().starts_with("- "));
    let children: Vec<&String> = below.iter().rev().take_while(is_child).collect();
    let elements = children
        .iter()
        .map(|child| child.strip_prefix(&format!("{:depth$}- ", "")))
        .map(|element| element.filter(|element| is_small(element)));
    let fields = children.iter().map(|child| field(child, depth + 2));
    let list = || Some(format!("[{}]", elements.collect::<Option<Vec<_>>>()?.join(", ")));
    let map = || Some(format!("{{{}}}", fields.collect::<Option<Vec<_>>>()?.join(", ")));
    if children.is_empty() { None } else { Some((children.len(), list().or_else(map)?)) }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// A field at this depth, if its value has a form for a line that it shares with others.
fn field(line: &str, depth: usize) -> Option<String> {
    let field = line.trim_start();
    let (key, value) = field.split_once(": ")?;
    if indent(line) != depth || !is_plain(key) {
        return None;
    }
    Some(format!("{key}: {}", inside_of_brackets(value)?))
}

/// A value as it is written inside of brackets: a sentence is one as it stands, and signs of brackets need quotes.
fn inside_of_brackets(value: &str) -> Option<Cow<'_, str>> {
    let is_quoted = value.len() > 1 && value.starts_with('\'') && value.ends_with('\'');
    if is_small(value) || is_quoted {
        return Some(value.into());
    }
    // A block of lines, an alias and the like are none of ours to change.
    if !value.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '^') {
        return None;
    }
    let has_signs = value.contains([',', '[', ']', '{', '}']) || value.ends_with(':');
    Some(if has_signs { format!("'{}'", value.replace('\'', "''")).into() } else { value.into() })
}

fn is_small(value: &str) -> bool {
    is_plain(value)
        || (value.starts_with('[') && value.ends_with(']'))
        || (value.starts_with('{') && value.ends_with('}'))
}

/// A word that means the same inside of brackets.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.$/-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_small_stands_on_one_line() {
        let yaml =
            "a:\n  b:\n    type: string\n  c:\n    items:\n      type: integer\n    maximum: '1'\nd:\n- x\n- y\n";
        assert_eq!(compact(yaml), "a: {b: {type: string}, c: {items: {type: integer}, maximum: '1'}}\nd: [x, y]\n");
    }

    #[test]
    fn a_sentence_stands_as_it_is_and_signs_are_put_into_quotes() {
        let yaml = "a:\n  description: A name, or none.\n  hint: 'It''s: {}'\n  other: What it is\n  pattern: ^[a-z]{3}('s)?$\n";
        let expected =
            "a: {description: 'A name, or none.', hint: 'It''s: {}', other: What it is, pattern: '^[a-z]{3}(''s)?$'}\n";
        assert_eq!(compact(yaml), expected);
        let read = |text: &str| serde_yaml::from_str::<Value>(text).unwrap();
        assert_eq!(read(expected), read(yaml));
    }

    #[test]
    fn what_is_long_or_a_block_stays() {
        for yaml in ["a:\n- b: c\n", "a:\n  b: |-\n    c:\n    - d e\n", "a:\n  b: &c d\n", "a:\n  b: \"x\\n\"\n"] {
            assert_eq!(compact(yaml), yaml);
        }
        let long = format!("a:\n  b: {}\n", "x".repeat(WIDEST));
        assert_eq!(compact(&long), long);
    }

    #[test]
    fn the_definition_stays_what_it_is() {
        let yaml = serde_yaml::to_string(&crate::api::crd()).unwrap();
        let short = compact(&yaml);
        assert!(short.len() < 100_000, "it takes {} bytes", short.len());
        let read = |text: &str| serde_yaml::from_str::<Value>(text).unwrap();
        assert_eq!(read(&short), read(&yaml));
    }
}
