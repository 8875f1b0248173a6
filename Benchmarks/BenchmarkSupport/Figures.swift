import Foundation

/// Prints a line of columns, which is seen at once in a pipe, too.
package func say(_ columns: String...) {
    print(columns.joined(separator: " "))
    fflush(nil)
}

/// The one in the middle.
package func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

package func format(_ value: Double, _ digits: Int) -> String {
    value.isFinite ? String(format: "%.\(digits)f", value) : "-"
}

extension String {
    package func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - self.count)) }
    package func leftPadded(_ width: Int) -> String { String(repeating: " ", count: max(0, width - self.count)) + self }
}

extension Duration {
    package var inSeconds: Double {
        Double(self.components.seconds) + Double(self.components.attoseconds) / 1e18
    }
}
