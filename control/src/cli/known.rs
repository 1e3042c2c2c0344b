//! Error messages for unknown words, with the known ones.

/// The least similarity of a suggestion; clap uses the same measure.
const ALIKE: f64 = 0.7;

/// The message for an unknown `word` of a kind: with a suggestion, and all known words.
pub(super) fn unknown(kind: &str, word: &str, known: &[&str]) -> String {
    let all = known.join(", ");
    match nearest(word, known) {
        Some(near) => format!("there is no {kind} `{word}`: did you mean `{near}`? There are {all}"),
        None => format!("there is no {kind} `{word}`: there are {all}"),
    }
}

/// The most similar known word.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let alike = known.iter().map(|known| (strsim::jaro(word, known), *known));
    let alike = alike.filter(|(likeness, _)| *likeness > ALIKE);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_proposed_and_all_are_named() {
        let known = ["idle_secs", "absolute_secs", "cookies"];
        assert_eq!(
            unknown("setting", "idle_sec", &known),
            "there is no setting `idle_sec`: did you mean `idle_secs`? There are idle_secs, absolute_secs, cookies"
        );
        assert_eq!(
            unknown("setting", "xyz", &known),
            "there is no setting `xyz`: there are idle_secs, absolute_secs, cookies"
        );
    }
}
