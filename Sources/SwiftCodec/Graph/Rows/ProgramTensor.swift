// SPDX-License-Identifier: BSD-3-Clause

/// A tensor as one rate position uses it.
struct ProgramTensor {
  /// In use.
  let channels: Int
  /// Height and width are those of the padded picture divided by this.
  let divisor: Int
  let q: Int
  /// Bounds of the elements.
  let lo: Int32
  let hi: Int32
  /// Columns beside the rows that consumers read.
  var left = 0
  var right = 0
  var readsZeros = false
  var readsReplicated = false

  /// Takes note of what a layer reads beside the rows.
  mutating func add(_ margins: Margins) {
    left = max(left, margins.left)
    right = max(right, margins.right)
    if margins.left > 0 || margins.right > 0 {
      if margins.border == .zero { readsZeros = true } else { readsReplicated = true }
    }
  }
}

/// Columns beside a row that a layer reads; not positive if it reads none.
struct Margins {
  var left = 0
  var right = 0
  var border = Border.zero
}
