import Foundation

/// The checkout that the tests were built from.
enum Repository {
    static let root: String = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path(percentEncoded: false).trimmingSuffix("/")

    /// Paths below the root of all Swift files in a folder; none when the folder is not there.
    static func swiftFiles(under folder: String) throws -> [String] {
        guard let enumerator = FileManager.default.enumerator(atPath: Self.root + "/" + folder) else { return [] }
        return enumerator.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") }.map { folder + "/" + $0 }
            .sorted()
    }

    static func text(of file: String) throws -> String {
        try String(contentsOfFile: Self.root + "/" + file, encoding: .utf8)
    }

    /// The modules that a file imports.
    static func imports(of file: String) throws -> [String] {
        try Self.text(of: file).split(separator: "\n").compactMap { line in
            var words = line.split(separator: " ").drop { $0.hasPrefix("@") }
            if let first = words.first, ["public", "package", "internal", "private", "fileprivate"].contains(first) {
                words = words.dropFirst()
            }
            guard words.first == "import", let module = words.dropFirst().first else { return nil }
            let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
            let name = kinds.contains(module) ? words.dropFirst(2).first ?? module : module
            return String(name.split(separator: ".")[0])
        }
    }
}

extension String {
    fileprivate func trimmingSuffix(_ suffix: String) -> String {
        self.hasSuffix(suffix) ? String(self.dropLast(suffix.count)) : self
    }
}
