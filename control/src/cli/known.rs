//! Words that are not known, answered with those that are.

/// How alike two words must be to be proposed: clap proposes by the same measure.
const ALIKE: f64 = 0.7;

/// Says that nothing of this kind is called `word`, what may have been meant, and what there is.
pub(super) fn unknown(kind: &str, word: &str, known: &[&str]) -> String {
    let all = known.join(", ");
    match nearest(word, known) {
        Some(near) => format!("there is no {kind} `{word}`: did you mean `{near}`? There are {all}"),
        None => format!("there is no {kind} `{word}`: there are {all}"),
    }
}

/// The known word that is most alike.
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
