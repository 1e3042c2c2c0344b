//! Which file imports which, and what of that must not be.
//!
//! A file imports another where one of its paths (`use`, an expression, a type) leads there. A name that
//! a folder's `mod.rs` re-exports leads to the file that has it. Tests are left out: they may look
//! everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree};

/// A crate and its layers, highest first. A file imports from its own layer and from those below it.
pub struct Layers {
    /// The folder of the sources, below the workspace.
    pub sources: &'static str,
    /// The modules of each layer, including their submodules; the longest match counts. `*` is any name (`*::routes`:
    /// the routes of every slice), and the empty name is the root of the crate.
    pub layers: &'static [&'static [&'static str]],
}

/// The module's path within its crate, without `crate`.
type Module = Vec<String>;

/// Files by module.
struct Tree {
    files: BTreeMap<Module, PathBuf>,
    /// The imported names of each module: name to path from the root of the crate.
    names: BTreeMap<Module, BTreeMap<String, Module>>,
    /// Paths from the root of the crate that a module uses, re-exports left out.
    uses: BTreeMap<Module, BTreeSet<Module>>,
}

/// Checks one crate.
///
/// # Errors
/// A circle, an import of a higher layer, a file in no layer, sources that do not parse.
pub fn check(workspace: &Path, rules: &Layers) -> Result<()> {
    let sources = workspace.join(rules.sources);
    let tree = Tree::read(&sources)?;
    let imports = tree.imports();
    let mut faults = Vec::new();
    for circle in circles(&imports) {
        let names: Vec<_> = circle.iter().map(named).collect();
        faults.push(format!("a circle: {}", names.join(" -> ")));
    }
    let mut ranks = BTreeMap::new();
    for module in tree.files.keys() {
        match rules.rank(module) {
            Some(rank) => drop(ranks.insert(module, rank)),
            None => faults.push(format!("{} is in no layer", named(module))),
        }
    }
    for (module, imported) in &imports {
        for other in imported {
            // A smaller number is a higher layer.
            if let (Some(own), Some(theirs)) = (ranks.get(module), ranks.get(other))
                && theirs < own
            {
                faults.push(format!("{} imports {}, which is above it", named(module), named(other)));
            }
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{}:\n  {}", rules.sources, faults.join("\n  "))
}

fn named(module: &Module) -> String {
    if module.is_empty() { String::from("the root") } else { module.join("::") }
}

impl Layers {
    fn rank(&self, module: &Module) -> Option<usize> {
        let fits = |pattern: &str| {
            if pattern.is_empty() {
                return module.is_empty().then_some((0, 0));
            }
            let parts: Vec<_> = pattern.split("::").collect();
            let matches = parts.len() <= module.len()
                && parts.iter().zip(module).all(|(part, name)| *part == "*" || part == name);
            // A name says more than a star.
            let stars = parts.iter().filter(|part| **part == "*").count();
            matches.then_some((parts.len() - stars, parts.len()))
        };
        let ranked = self.layers.iter().enumerate();
        let fitting = ranked.flat_map(|(rank, modules)| {
            modules.iter().filter_map(move |pattern| Some((fits(pattern)?, rank)))
        });
        fitting.max_by_key(|(fit, _)| (fit.1, fit.0)).map(|(_, rank)| rank)
    }
}

impl Tree {
    fn read(sources: &Path) -> Result<Self> {
        let mut tree = Self { files: BTreeMap::new(), names: BTreeMap::new(), uses: BTreeMap::new() };
        let root =
            ["lib.rs", "main.rs"].map(|name| sources.join(name)).into_iter().find(|file| file.is_file());
        tree.module(vec![], &root.context("neither lib.rs nor main.rs")?)?;
        Ok(tree)
    }

    fn module(&mut self, module: Module, file: &Path) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
        let mut paths =
            Paths { here: module.clone(), names: BTreeMap::new(), uses: BTreeSet::new(), children: vec![] };
        paths.visit_file(&parsed);
        let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
            Some("lib" | "main" | "mod") => file.parent().context("a folder")?.to_owned(),
            _ => file.with_extension(""),
        };
        let children = paths.children.clone();
        self.names.insert(module.clone(), paths.names);
        self.uses.insert(module.clone(), paths.uses);
        self.files.insert(module.clone(), file.to_owned());
        for child in children {
            let candidates = [folder.join(format!("{child}.rs")), folder.join(&child).join("mod.rs")];
            let found = candidates.iter().find(|file| file.is_file());
            let found = found.with_context(|| format!("{}: no file of `mod {child}`", file.display()))?;
            self.module([&module[..], &[child]].concat(), found)?;
        }
        Ok(())
    }

    /// The file that a path leads to, through re-exports.
    fn target(&self, path: &Module) -> Module {
        let mut path = path.clone();
        // A chain of re-exports is short; a circle among them would not compile.
        for _ in 0..8 {
            let known =
                (0..=path.len()).rev().map(|length| &path[..length]).find(|it| self.files.contains_key(*it));
            let module = known.map(<[String]>::to_vec).unwrap_or_default();
            let Some(name) = path.get(module.len()) else { return module };
            match self.names.get(&module).and_then(|names| names.get(name)) {
                Some(target) => path = [&target[..], &path[module.len() + 1..]].concat(),
                None => return module,
            }
        }
        path
    }

    fn imports(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let of = |(module, paths): (&Module, &BTreeSet<Module>)| {
            let targets = paths.iter().map(|path| self.target(path)).filter(|target| target != module);
            (module.clone(), targets.collect())
        };
        self.uses.iter().map(of).collect()
    }
}

/// The paths of one file.
struct Paths {
    here: Module,
    names: BTreeMap<String, Module>,
    uses: BTreeSet<Module>,
    /// Children that are files of their own.
    children: Vec<String>,
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let words = |name: &str| attribute.path().is_ident(name);
        words("test") || words("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
    })
}

impl Paths {
    /// A path from the root of the crate, if it is one of this crate's.
    fn absolute(&self, segments: &[String]) -> Option<Module> {
        let mut rest = segments;
        let mut base = match rest.first()?.as_str() {
            "crate" => vec![],
            "self" => self.here.clone(),
            "super" => self.here[..self.here.len().checked_sub(1)?].to_vec(),
            // In the edition of 2024 a path may begin with a child or an imported name.
            child if self.children.iter().any(|known| known == child) => {
                return Some([&self.here[..], segments].concat());
            }
            _ => return None,
        };
        rest = &rest[1..];
        while rest.first().is_some_and(|segment| segment == "super") {
            base.pop();
            rest = &rest[1..];
        }
        Some([&base[..], rest].concat())
    }

    fn used(&mut self, segments: &[String], name: Option<String>, re_export: bool) {
        let Some(path) = self.absolute(segments) else { return };
        if let Some(name) = name {
            self.names.insert(name, path.clone());
        }
        if !re_export {
            self.uses.insert(path);
        }
    }

    fn tree(&mut self, before: &[String], tree: &UseTree, re_export: bool) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree, re_export),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(before, item, re_export)),
            UseTree::Name(name) if name.ident == "self" => {
                self.used(before, before.last().cloned(), re_export);
            }
            UseTree::Name(name) => self.used(&with(&name.ident), Some(name.ident.to_string()), re_export),
            UseTree::Rename(name) => self.used(&with(&name.ident), Some(name.rename.to_string()), re_export),
            UseTree::Glob(_) => self.used(before, None, re_export),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_file(&mut self, file: &'ast syn::File) {
        let files = file.items.iter().filter_map(|item| match item {
            Item::Mod(module) if module.content.is_none() && !is_test(&module.attrs) => {
                Some(module.ident.to_string())
            }
            _ => None,
        });
        self.children = files.collect();
        visit::visit_file(self, file);
    }

    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        // The paths of a module inside this file are relative to it, so `super` is this file.
        if module.content.is_some() {
            self.here.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.here.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let re_export = !matches!(item.vis, syn::Visibility::Inherited);
        self.tree(&[], &item.tree, re_export);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.used(&segments, None, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, macros: &'ast Macro) {
        // The content of a macro is only tokens: every `crate::a::b` among them counts.
        let text = macros.tokens.to_string().replace(" :: ", "::");
        for word in text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':')) {
            let segments: Vec<_> = word.split("::").map(str::to_owned).collect();
            if segments.len() > 1 && matches!(segments[0].as_str(), "crate" | "super" | "self") {
                self.used(&segments, None, false);
            }
        }
        visit::visit_macro(self, macros);
    }
}

/// The circles: sets of modules each of which reaches all others, as a way from one of them back to it.
fn circles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<Vec<Module>> {
    let mut found: Vec<Vec<Module>> = Vec::new();
    for start in imports.keys() {
        if found.iter().flatten().any(|module| module == start) {
            continue;
        }
        found.extend(way_back(imports, start));
    }
    found
}

/// The shortest way from a module back to itself.
fn way_back(imports: &BTreeMap<Module, BTreeSet<Module>>, start: &Module) -> Option<Vec<Module>> {
    let mut came_from: BTreeMap<&Module, &Module> = BTreeMap::new();
    let mut next = std::collections::VecDeque::from([start]);
    while let Some(module) = next.pop_front() {
        for other in imports.get(module).into_iter().flatten() {
            if other == start {
                let mut way = vec![start.clone()];
                let mut at = module;
                while at != start {
                    way.insert(0, at.clone());
                    at = came_from[at];
                }
                way.insert(0, start.clone());
                return Some(way);
            }
            if !came_from.contains_key(other) {
                came_from.insert(other, module);
                next.push_back(other);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Layers = Layers { sources: "src", layers: &[&["top", "*::routes"], &["*"], &[""]] };

    /// Checks a crate of these files.
    fn checked(files: &[(&str, &str)]) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join("src").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        check(folder.path(), &RULES).map_err(|error| error.to_string())
    }

    #[test]
    fn imports_go_down() {
        let files = |low: &str| {
            checked(&[
                ("lib.rs", "mod top; mod low; mod users;"),
                ("top.rs", "use crate::{low::Low, users::User};"),
                ("low.rs", low),
                ("users/mod.rs", "pub mod routes; mod model; pub use model::User;"),
                ("users/routes.rs", "use super::User;"),
                ("users/model.rs", "pub struct User;"),
            ])
        };
        assert_eq!(files("pub struct Low;"), Ok(()));
        assert_eq!(files("#[cfg(test)] mod tests { use crate::top::Top; }"), Ok(()));
        for up in ["use crate::top::Top;", "fn f() { crate::users::routes::list(); }", "m!(crate::top::Top);"]
        {
            let fault = files(up).unwrap_err();
            assert!(fault.contains("low imports") && fault.contains("above it"), "{up}: {fault}");
        }
    }

    #[test]
    fn a_circle_is_named() {
        let files = |model: &str| {
            checked(&[
                ("lib.rs", "mod users;"),
                ("users/mod.rs", "mod store; mod model; pub use model::User; pub use store::*;"),
                ("users/store.rs", "use super::User;"),
                ("users/model.rs", model),
            ])
        };
        assert_eq!(files("pub struct User;"), Ok(()));
        let fault = files("use super::store::find;").unwrap_err();
        assert!(fault.contains("users::model -> users::store -> users::model"), "{fault}");
    }

    #[test]
    fn every_file_has_a_layer() {
        let rules = Layers { sources: "src", layers: &[&["low"]] };
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("src/lib.rs"), "mod other;").unwrap();
        fs::write(folder.path().join("src/other.rs"), "").unwrap();
        assert!(check(folder.path(), &rules).unwrap_err().to_string().contains("other is in no layer"));
    }
}
