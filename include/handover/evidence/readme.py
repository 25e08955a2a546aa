"""The text that tells the reader of an evidence folder what is in it and how to check it."""

README = """\
HANDOVER: EVIDENCE OF A TRANSFER

What is here
  manifest.dsse.json  signed statement (in-toto in a DSSE envelope, Ed25519): what was done, and the
                      SHA-256 of every other file here and of every backup file in the vault
  ledger.jsonl        every step, one line each, chained by hash and signed
  public-key.pem      the key that checks both
  verify.py           the program that checks all of it (Python 3.11 and the package "cryptography")
  other files         documents that the manifest names, for example the plan

How to check
  1. Get verify.py, or at least its SHA-256, and the key's fingerprint from somebody you trust, not only
     from this folder: whoever forges a folder can forge the program and the key in it.
  2. Run     python verify.py FOLDER --public-key KEY.pem [--vault DIR]
     Exit status 0: everything holds. 1: every finding is printed with the file or ledger entry.

What it does not prove
  That the signer told the truth, that nobody else used the signing key, that clocks were right, that no
  copies exist elsewhere. Digests of rows are keyed: they cannot be tested without the case's evidence key.


数据移交证据说明

本文件夹内容
  manifest.dsse.json  已签名的声明（in-toto 声明，DSSE 信封，Ed25519 签名）：记载所做的事项，以及本文件夹
                      其他全部文件与保管库中全部备份文件的 SHA-256
  ledger.jsonl        全部步骤的账本，每行一条，逐条以哈希相连并签名
  public-key.pem      用于核验以上两者的公钥
  verify.py           核验程序（需要 Python 3.11 与 cryptography 软件包）
  其他文件            声明中列明的文件，例如移交计划

核验方法
  1. 核验程序（或其 SHA-256）与公钥指纹应从可信的人处另行取得，不能只依靠本文件夹：
     能伪造文件夹的人，同样能伪造其中的程序和公钥。
  2. 运行    python verify.py 文件夹 --public-key 公钥.pem [--vault 保管库目录]
     退出码 0：全部相符；1：逐条列出不符的文件或账本条目。

不能证明的事项
  签名人所述属实；签名私钥未被他人使用；时钟准确；别处没有副本。
  行与数据块的摘要均经密钥处理，没有本案的证据密钥无法用于比对或猜测。
"""
