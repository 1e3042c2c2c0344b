//! The sample file, made from the declarations of the settings.

use super::{Default, fields};

/// The text of `wardgate.sample.toml`: every setting with its documentation, variable and default.
#[must_use]
pub fn sample() -> String {
    let mut out = String::from(
        "# Settings of the Wardgate control plane. WARDGATE_CONFIG names this file; an environment\n\
         # variable, where one is set, wins. Settings without a leading `#` are required.\n",
    );
    let mut table = "";
    for field in fields() {
        if field.table != table {
            table = field.table;
            out.push_str(&format!("\n[{table}]\n"));
        }
        for line in field.doc {
            out.push_str(&format!("#{line}\n"));
        }
        out.push_str(&format!("# {}\n", field.variable()));
        out.push_str(&match field.default {
            Default::Required => format!("{} = \"\"\n", field.name),
            Default::Absent => format!("#{} = \"\"\n", field.name),
            Default::Is(value) => format!("#{} = {value}\n", field.name),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_file_is_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/wardgate.sample.toml");
        if std::env::var_os("WARDGATE_WRITE_SAMPLE").is_some() {
            std::fs::write(path, sample()).unwrap();
        }
        let file = std::fs::read_to_string(path).unwrap();
        assert_eq!(file, sample(), "run this test once with WARDGATE_WRITE_SAMPLE=1 to write {path}");
    }
}
